"""The simulation that says whether control picks can tell what random picks would have given."""

from pt4al_backend.bench.random_picks import Estimated, sections


def test_table_compares_what_is_said_with_the_truth() -> None:
    found = [
        Estimated(12, 8, False, 0.40, 0.20, 0.60, 0.50),
        Estimated(12, 8, False, 0.20, 0.10, 0.40, 0.50),
        Estimated(12, 108, True, 0.60, 0.50, 0.70, 0.90),
    ]
    (part,) = sections(found, 2)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.table.splitlines()[2:]]
    assert rows == [
        ["12", "8", "measured", "50.0", "30.0 ± 10.0", "50 %", "35"],
        ["12", "108", "forecast", "90.0", "60.0 ± 0.0", "0 %", "20"],
    ]
