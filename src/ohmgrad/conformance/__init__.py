"""Laws that every device, every algorithm and every board obeys, a user's own too.

    from ohmgrad import conformance

    print(conformance.check_device(device))                        # a table of all laws
    conformance.check_algorithm(MyOptimizer).raise_if_failed()     # one error that names the broken ones

In tests of your own, law by law:

    @pytest.mark.parametrize("law", conformance.DEVICE_LAWS)
    def test_my_device(law):
        conformance.check_device(device, law).raise_if_failed()

    @pytest.mark.parametrize("law", conformance.ALGORITHM_LAWS)
    def test_my_algorithm(law):
        conformance.check_algorithm(MyOptimizer, law, exact=True).raise_if_failed()

    @pytest.mark.parametrize("law", conformance.BOARD_LAWS)
    def test_my_board(law):
        conformance.check_board(boards, device, law).raise_if_failed()

or from the command line, `ohmgrad check device my_file.py:device`, `ohmgrad check algorithm
my_file.py:MyOptimizer` and `ohmgrad check board my_file.py:boards --device my.yaml`. Each law is a function
whose docstring says what is compared, on how much, and where its bound comes from; a law that cannot be run
says so in the report.
"""

from .report import BrokenLawError, Finding, Report
from .suite import ALGORITHM_LAWS, BOARD_LAWS, DEVICE_LAWS, check_algorithm, check_board, check_device

__all__ = [
    "ALGORITHM_LAWS",
    "BOARD_LAWS",
    "DEVICE_LAWS",
    "BrokenLawError",
    "Finding",
    "Report",
    "check_algorithm",
    "check_board",
    "check_device",
]
