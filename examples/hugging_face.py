"""Hugging Face's Trainer on a small GPT-2 and a small BERT: trained by pulses, saved, and resumed exactly."""

from tempfile import TemporaryDirectory

import torch
import transformers as hf

import ohmgrad as og

tokens = torch.randint(0, 32, (64, 1), generator=torch.Generator().manual_seed(0)).expand(64, 8)
gpt = hf.GPT2Config(vocab_size=32, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
bert = hf.BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
MODELS = {  # and what lies on crossbars, and labels: sequences that repeat a token, or classes
    "gpt2": (lambda: hf.GPT2LMHeadModel(gpt), "transformer.h.*", tokens),
    "bert": (lambda: hf.BertForSequenceClassification(bert), "bert.*", tokens[:, 0] % 2),
}


def train(name: str, folder: str, resume: str | None = None) -> list[float]:
    torch.manual_seed(0)
    model = og.convert(MODELS[name][0](), og.Device(og.SoftBounds.symmetric(0.6)), include=[MODELS[name][1]])
    optimizer = og.TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1, columns=4, momentum=0.9)
    settings = hf.TrainingArguments(folder, max_steps=40, save_steps=20, logging_steps=10, use_cpu=True)
    data = [{"input_ids": x, "labels": y} for x, y in zip(tokens, MODELS[name][2], strict=True)]
    trainer = hf.Trainer(model, settings, train_dataset=data, optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=resume)
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def main() -> float:
    with TemporaryDirectory() as folder:
        first = {name: train(name, f"{folder}/{name}") for name in MODELS}
        again = {name: train(name, f"{folder}/{name}", f"{folder}/{name}/checkpoint-20") for name in MODELS}
    print("losses:", first, "resumed after step 20:", {name: losses[2:] for name, losses in again.items()})
    return 0.0 if first == again and all(v[-1] < v[0] / 2 for v in first.values()) else 1.0


if __name__ == "__main__":
    main()
