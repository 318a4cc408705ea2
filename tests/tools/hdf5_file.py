#!/usr/bin/python3
"""An HDF5 file of 200 MB and 650 objects, the same bytes each time: groups of datasets with attributes, as recordings are.

usage: hdf5_file.py make first|between FILE [MB]   metadata first, or between the data, as most programs write them
       hdf5_file.py walk FILE                      `objects N, leaves M`: what opening each object and reading its attributes
                                                   touches, in blocks of 256 KiB
The values: dataset `d` of group `g` has VALUE(g, d) + i at place i; its attributes are in ATTRIBUTES."""
import random
import sys

import h5py
import numpy

GROUPS, DATASETS, LEAF = 50, 12, 262144
OBJECTS = GROUPS * (1 + DATASETS)
ATTRIBUTES = ("unit", "rate", "offset", "comment")


def value(group, dataset):
    return 1000 * group + 10 * dataset


def describe(thing, draw):
    thing.attrs["unit"] = draw.choice(["volts", "amperes", "seconds"])
    thing.attrs["rate"] = float(draw.randrange(1000, 30000))
    thing.attrs["comment"] = " ".join(draw.choice(["quiet", "noisy", "left", "right", "late"]) for _ in range(135))
    thing.attrs["offset"] = numpy.arange(4, dtype="int32") + draw.randrange(1000)


def name_of(group, dataset=None):
    return f"group{group:02}" if dataset is None else f"group{group:02}/series{dataset:02}"


def make(order, path, megabytes):
    draw = random.Random(650)
    count = megabytes * 1_000_000 // (GROUPS * DATASETS * 4)
    made = []
    with h5py.File(path, "w", libver="earliest") as file:
        for group in range(GROUPS):
            describe(file.create_group(name_of(group)), draw)
            for dataset in range(DATASETS):
                # Its place is taken when data are first written: until then it is metadata alone.
                series = file.create_dataset(name_of(group, dataset), (count,), "float32")
                describe(series, draw)
                made.append((series, numpy.arange(count, dtype="float32") + value(group, dataset)))
                if order == "between":
                    series[:] = made.pop()[1]
        for series, data in made:
            series[:] = data


def walk(file):
    """What is in the attributes of all objects, as one number."""
    seen = []

    def visit(name, thing):
        size = thing.shape[0] if isinstance(thing, h5py.Dataset) else len(thing)
        seen.append((name, size, [str(thing.attrs[a]) for a in ATTRIBUTES]))
    file.visititems(visit)
    return seen


class Watched:
    """A file that notes which leaves are read."""

    def __init__(self, path):
        self.file, self.leaves = open(path, "rb"), set()

    def seek(self, *place):
        return self.file.seek(*place)

    def tell(self):
        return self.file.tell()

    def readinto(self, buffer):
        start = self.file.tell()
        count = self.file.readinto(buffer)
        self.leaves.update(range(start // LEAF, (start + max(count, 1) - 1) // LEAF + 1))
        return count

    def read(self, count=-1):
        start = self.file.tell()
        data = self.file.read(count)
        self.leaves.update(range(start // LEAF, (start + max(len(data), 1) - 1) // LEAF + 1))
        return data


def leaves_of_walk(path):
    watched = Watched(path)
    with h5py.File(watched, "r") as file:
        seen = walk(file)
    return len(seen), watched.leaves


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"] and len(sys.argv) in (4, 5) and sys.argv[2] in ("first", "between"):
        make(sys.argv[2], sys.argv[3], int(sys.argv[4]) if sys.argv[4:] else 200)
    elif sys.argv[1:2] == ["walk"] and len(sys.argv) == 3:
        objects, leaves = leaves_of_walk(sys.argv[2])
        print(f"objects {objects}, leaves {len(leaves)}")
    else:
        sys.exit(__doc__)
