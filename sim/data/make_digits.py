"""Writes digits.csv: the UCI handwritten digits as scikit-learn's wheel carries them, split once and for all.

One row per image: its number in the original set, its label, `train` or `test` (shuffled, stratified by label, a quarter
kept apart), and its 8x8 pixels row by row, each one character: 0-9 and a-g for the intensities 0 to 16.
"""

import argparse
import csv
import sys
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DIGITS = "0123456789abcdefg"
SEED = 1797


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("digits.csv"), help="file to write (default: %(default)s)")
    args = parser.parse_args()

    data = load_digits()
    pixels = data.data.astype(int)
    _, test = train_test_split(range(len(pixels)), test_size=0.25, stratify=data.target, shuffle=True, random_state=SEED)
    test = set(test)
    with args.out.open("w", newline="", encoding="ascii") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["index", "label", "split", "pixels"])
        for index, (image, label) in enumerate(zip(pixels, data.target)):
            rows.writerow([index, label, "test" if index in test else "train", "".join(DIGITS[value] for value in image)])
    print(f"{args.out}: {len(pixels)} images, {len(test)} of them for testing", file=sys.stderr)


if __name__ == "__main__":
    main()
