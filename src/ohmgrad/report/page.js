// Every picture with data becomes a plot; a printed page has the picture again (see the style).
for (const source of document.querySelectorAll('.panel > script[type="application/json"]')) {
  const { data, layout } = JSON.parse(source.textContent);
  const panel = source.parentElement;
  const axis = { showline: true, ticks: "outside", zeroline: false, automargin: true, exponentformat: "power",
                 gridcolor: "rgba(0,0,0,0.08)", linecolor: "rgba(0,0,0,0.6)" };
  const place = document.createElement("div");
  place.className = "plot";
  panel.append(place);
  panel.classList.add("drawn"); // before plotly measures its place
  Plotly.newPlot(place, data, {
    ...layout,
    title: { ...layout.title, x: 0, xref: "paper", xanchor: "left", y: 1, yref: "container", yanchor: "top",
             pad: { t: 10 } },
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    font: { family: "system-ui, sans-serif", size: 12, color: "#111" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 8, r: 12, t: 34, b: 8 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "rgba(0,0,0,0.35)", activecolor: "rgba(0,0,0,0.8)" },
    legend: { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom", font: { size: 11 } },
    hovermode: "closest",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
  }, { responsive: true, displaylogo: false, displayModeBar: "hover",
       modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] })
    .catch(() => panel.classList.remove("drawn"));
}
