"""A picture of the rows of a benchmark, beside their JSON file."""

import logging
from pathlib import Path

logger = logging.getLogger("simgraft.benchmarks")

SIZE_OF_ROW = 0.28  # inches


def _scaled(row):
    """Bar, peer's bar and limit of a row on a common axis: shares of the peak, or times faster than the peer."""
    if "_vs_" in row["name"]:
        return row["ratio"], 1.0, row["limit"]
    return row["value"], row["peer_value"], row["limit"]


def _panel(axes, rows, title, label):
    from matplotlib.patches import Patch

    places = range(len(rows))
    for place, row in zip(places, rows):
        ours, peer, limit = _scaled(row)
        axes.barh(place, ours, height=0.7, color="tab:blue" if row["passed"] else "tab:red", zorder=2)
        if peer is not None:
            axes.plot([peer, peer], [place - 0.35, place + 0.35], color="black", lw=1.5, zorder=3)
        if limit is not None:
            axes.plot([limit, limit], [place - 0.35, place + 0.35], color="tab:orange", lw=1.5, ls=":", zorder=3)
        axes.text(ours, place, f" {ours:.2f}", va="center", fontsize=7)
    axes.set_yticks(list(places), [row["name"] for row in rows], fontsize=7)
    axes.set(title=title, xlabel=label)
    axes.set_xlim(0, 1.15 * max(max(v for v in _scaled(row) if v is not None) for row in rows))
    axes.invert_yaxis()
    axes.grid(axis="x", lw=0.3, zorder=0)
    axes.legend(
        handles=[Patch(color="tab:blue", label="ours, limit kept"), Patch(color="tab:red", label="ours, limit missed"),
                 Patch(color="black", label="peer"), Patch(color="tab:orange", label="limit")],
        fontsize=6, loc="lower right",
    )


def plot(rows, path):
    """Draw the rows as bars: shares of the peak, ratios to peers, and other bounded quantities, a panel each.

    Parameters
    ----------
    rows : list of dict
        As in the JSON file of a benchmark.
    path : str or path
        The picture's name without its ending; .png and .svg are written.

    Returns
    -------
    list of Path
        What was written; empty without matplotlib.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
        import matplotlib.pyplot as plt
    except ImportError:
        logger.warning("no picture of the benchmark: matplotlib is not installed")
        return []
    panels = [
        ("Shares of the multiply-add peak", "share", [r for r in rows if r["unit"] == "peak"]),
        ("Against peers in the same run", "times faster", [r for r in rows if "_vs_" in r["name"]]),
        ("Other bounds", "value", [r for r in rows if r["limit"] is not None and r["unit"] != "peak" and "_vs_" not in r["name"]]),
    ]
    panels = [p for p in panels if p[2]]
    if not panels:
        return []
    heights = [len(shown) + 3 for *_, shown in panels]
    figure, all_axes = plt.subplots(
        len(panels), 1, figsize=(8, SIZE_OF_ROW * sum(heights)), height_ratios=heights, layout="constrained", squeeze=False
    )
    for axes, (title, label, shown) in zip(all_axes[:, 0], panels):
        _panel(axes, shown, title, label)
    written = [Path(f"{path}{ending}") for ending in (".png", ".svg")]
    for file in written:
        figure.savefig(file, dpi=150)
    plt.close(figure)
    return written
