"""ci/cycles.py: modules that include each other in a circle. A module is a .c and its .h; what either includes counts.
Fails, and prints them, when there are more circles than before."""
import pathlib
import re
import sys

BASELINE = 0

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "src"


def modules():
    """Each module's name, and the modules that it includes."""
    edges = {}
    for path in sorted(SOURCES.rglob("*.[ch]")):
        name = str(path.relative_to(SOURCES).with_suffix(""))
        headers = re.findall(r'^#\s*include\s+"(.+)\.h"', path.read_text(), re.MULTILINE)
        edges.setdefault(name, set()).update(header for header in headers if header != name)
    return edges


def circles(edges):
    """Strongly connected components of more than one module (Tarjan 1972, without recursion)."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []
    for root in edges:
        work = [(root, iter(sorted(edges[root])))] if root not in index else []
        while work:
            node, rest = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            for other in rest:
                if other not in index:
                    work.append((other, iter(sorted(edges.get(other, ())))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    found.append(stack[at:])
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
    return sorted(sorted(members) for members in found if len(members) > 1)


def main():
    found = circles(modules())
    if len(found) <= BASELINE:
        return 0
    for members in found:
        print("cycles: a circle of modules: " + " ".join(members), file=sys.stderr)
    print(f"cycles: {len(found)} circles, there were {BASELINE}", file=sys.stderr)
    return 1


sys.exit(main())
