"""Charts of the report, as SVG: a dot is a median, its whisker reaches from the least to the greatest
run. A chart has a panel for each measure of a group; rows of a panel are configurations, or its lines
are engines."""

import os

import matplotlib
from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

import figures
import plan

matplotlib.use('svg')
matplotlib.rcParams.update({'svg.hashsalt': 'varve', 'font.size': 9, 'axes.spines.top': False,
                            'axes.spines.right': False, 'axes.titlesize': 9.5})
SETS = {'bars': None, 'listens': ('Ingest', 'One hour of one partition', 'Questions to many rows')}
OURS, THEIRS = '#1f6fb2', '#59636b'
COLOURS = {'varve': OURS, 'rocksdb': '#d1495b', 'sqlite': '#e09f1f', 'duckdb': '#3d8361',
           'chdb': '#7a5195', 'parquet': '#8c6d46', 'polars': '#00798c', 'cassandra': THEIRS}
STYLES = ('-', '--', ':', '-.', (0, (5, 1)), (0, (1, 1)))
COLUMNS = 3
LOG_FROM = 10  # ratio of the greatest to the least value
ROW_INCHES, PANEL_INCHES = 0.19, 3.1
ACROSS = ('ingest_whole', 'size_flushed', 'slice_p50', 'hourly_all', 'total', 'scan')


def plain(value, _=None):
    """Three digits, without an exponent."""
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.3g}'


def unit_of(measure):
    better = 'more is better' if measure.higher_is_better else 'less is better'
    return f'{measure.unit}, {better}'


def wanted(table, group):
    """Groups are charted for the sets of ordinary size; of those across sizes there are others."""
    of_set = SETS.get(table.name, ())
    return (plan.size_of(table.rows) == 'small' and (of_set is None or group.title in of_set)
            and len(_measures(table, group, table.raw)) > 0)


def _measures(table, group, rows):
    return [m for m in group.measures if m.compared
            and sum(table.figure(row, m.key) is not None for row in rows) > 1]


def _scaled(figure, measure):
    low, high = min(figure.values) / measure.scale, max(figure.values) / measure.scale
    return low, figure.median / measure.scale, high


def _value_axis(axes, axis, lows, highs):
    """Logarithmic where values are far apart; with room for the numbers beside the dots."""
    least, greatest = min(lows), max(highs)
    which = axes.xaxis if axis == 'x' else axes.yaxis
    set_scale, set_limits = getattr(axes, f'set_{axis}scale'), getattr(axes, f'set_{axis}lim')
    if least > 0 and greatest > LOG_FROM * least:
        span = greatest / least
        set_scale('log')
        set_limits(least / span ** 0.06, greatest * span ** (0.28 if axis == 'x' else 0.06))
        which.set_major_locator(LogLocator(subs=(1, 3) if span < 300 else (1,), numticks=5))
        which.set_minor_locator(NullLocator())
    else:
        set_limits(0, greatest * (1.3 if axis == 'x' else 1.1))
    which.set_major_formatter(FuncFormatter(plain))
    which.set_minor_formatter(NullFormatter())
    axes.grid(axis=axis, alpha=0.3)
    axes.set_axisbelow(True)


def _dots(axes, table, measure, rows):
    """One panel: a dot a row."""
    found = [(at, row, _scaled(table.figure(row, measure.key), measure))
             for at, row in enumerate(rows) if table.figure(row, measure.key)]
    for at, row, (low, median, high) in found:
        colour = OURS if row.label == 'varve' else THEIRS
        axes.plot([low, high], [at, at], color=colour, linewidth=1.4, solid_capstyle='butt')
        axes.plot(median, at, 'o', color=colour, markersize=4.5)
        axes.annotate(plain(median), (high, at), xytext=(5, 0), textcoords='offset points',
                      va='center', fontsize=7.5, color=colour)
    _value_axis(axes, 'x', [low for _, _, (low, _, _) in found], [high for _, _, (_, _, high) in found])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.yaxis.set_major_locator(FixedLocator(range(len(rows))))
    axes.set_yticklabels([str(row) for row in rows])
    axes.tick_params(axis='y', length=0)
    axes.set_title(measure.title, loc='left')
    axes.set_xlabel(unit_of(measure), fontsize=8)


def _panels(n, height, share_labels):
    columns = 2 if n == 4 else min(n, COLUMNS)
    lines = -(-n // columns)
    drawing, grid = pyplot.subplots(lines, columns, squeeze=False, layout='constrained',
                                    sharey=share_labels,
                                    figsize=(1.6 + PANEL_INCHES * columns, lines * height))
    panels = list(grid.flat)
    for spare in panels[n:]:
        spare.set_visible(False)
    return drawing, panels[:n]


def _save(drawing, title, folder, name):
    drawing.suptitle(title, x=0.01, ha='left', fontsize=11)
    drawing.savefig(os.path.join(folder, f'{name}.svg'), metadata={'Date': None})
    pyplot.close(drawing)
    return f'charts/{name}.svg'


def _lines(axes, series, measure, ticks):
    """One panel: a line an engine, over positions."""
    lows, highs = [], []
    for at, (label, points) in enumerate(series.items()):
        colour = COLOURS.get(label.split()[0], THEIRS)
        same = [other for other in series if other.split()[0] == label.split()[0]]
        scaled = [(x, *_scaled(figure, measure)) for x, figure in points]
        axes.errorbar([x for x, *_ in scaled], [median for _, _, median, _ in scaled],
                      yerr=[[median - low for _, low, median, _ in scaled],
                            [high - median for _, _, median, high in scaled]],
                      color=colour, marker='o', markersize=4, capsize=2, linewidth=1.3, label=label,
                      linestyle=STYLES[same.index(label) % len(STYLES)],
                      zorder=3 if label == 'varve' else 2)
        lows += [low for _, low, _, _ in scaled]
        highs += [high for _, _, _, high in scaled]
    _value_axis(axes, 'y', lows, highs)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlim(-0.3, len(ticks) - 0.7)
    axes.set_title(measure.title, loc='left')
    axes.set_ylabel(unit_of(measure), fontsize=8)


def _draw_lines(panels_of, ticks, title, folder, name):
    """`panels_of` gives for each measure its series: label -> [(position, figure)]."""
    panels_of = [(measure, series) for measure, series in panels_of if series]
    if not panels_of:
        return None
    drawing, panels = _panels(len(panels_of), 2.9, False)
    for axes, (measure, series) in zip(panels, panels_of):
        _lines(axes, series, measure, ticks)
    legend = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        legend.update(zip(labels, handles))
    drawing.legend(legend.values(), legend.keys(), loc='outside lower center',
                   ncols=3 if len(panels) in (1, 2, 4) else 5, frameon=False,
                   fontsize=8)
    return _save(drawing, title, folder, name)


def _draw_late(table, group, folder, name):
    percents = sorted({row.late for row in table.raw if row.late is not None})

    def series(measure):
        found = {}
        for row in table.raw:
            figure = table.figure(row, measure.key)
            if figure and row.late is not None:
                found.setdefault(row.label, []).append((percents.index(row.late), figure))
        return {label: sorted(points, key=lambda point: point[0]) for label, points in found.items()}

    return _draw_lines([(measure, series(measure)) for measure in group.measures],
                       [f'{percent} % late' for percent in percents],
                       f'{group.title}: {table.title}', folder, name)


def draw_group(table, group, rows, folder):
    """The chart of a group's measures; returns its path beside the report."""
    name = f"{table.name}-{group.title.split()[0].lower()}"
    if any(row.late is not None and table.figure(row, group.measures[0].key) for row in rows):
        return _draw_late(table, group, folder, name)
    measures = _measures(table, group, rows)
    rows = [row for row in rows if any(table.figure(row, m.key) for m in measures)]
    drawing, panels = _panels(len(measures), 0.95 + ROW_INCHES * len(rows), True)
    for axes, measure in zip(panels, measures):
        _dots(axes, table, measure, rows)
    return _save(drawing, f'{group.title}: {table.title}', folder, name)


def _draw_sizes(tables, rows_in_order, folder):
    """Bytes a row of each set: a panel a set, after merging where an engine does."""
    flushed, merged = figures.MEASURES['size_flushed'], figures.MEASURES['size_merged']
    tables = [table for table in tables if plan.size_of(table.rows) == 'small'
              and any(table.figure(row, flushed.key) for row in table.raw)]
    rows = [row for row in (rows_in_order(tables[0]) if tables else [])
            if tables[0].figure(row, flushed.key) and row.threads == 1]
    if len(rows) < 2:
        return None
    drawing, panels = _panels(len(tables), 0.95 + ROW_INCHES * len(rows), True)
    for axes, table in zip(panels, tables):
        best = figures.Table(table.name, table.rows)
        for row in rows:
            for value in (table.figure(row, merged.key) or table.figure(row, flushed.key)
                          or figures.Figure((), False)).values:
                best.add(row, flushed.key, value, False)
        _dots(axes, best, flushed, rows)
        axes.set_title(table.title, loc='left')
    return _save(drawing, 'Bytes a row of the data files, merged where an engine merges', folder,
                 'sizes')


def _draw_growth(tables, folder):
    """Measures of bars by number of rows, one line an engine and only with one thread."""
    tables = [table for table in tables if table.name == 'bars']
    if len(tables) < 2:
        return None

    def series(key):
        found = {}
        for at, table in enumerate(tables):
            for row in table.raw:
                figure = table.figure(row, key)
                if figure and row.threads == 1 and not row.every_value and row.late is None:
                    found.setdefault(row.label, []).append((at, figure))
        return {label: points for label, points in found.items() if len(points) > 1}

    return _draw_lines([(figures.MEASURES[key], series(key)) for key in ACROSS],
                       [f'{table.rows // 1000000} M rows' for table in tables],
                       'bars: what more rows do', folder, 'growth')


def draw_across(tables, rows_in_order, folder):
    """Charts of several tables: title and path."""
    drawn = (('Bytes a row of each set', _draw_sizes(tables, rows_in_order, folder)),
             ('What more rows do', _draw_growth(tables, folder)))
    return [(title, path) for title, path in drawn if path]


def begin(folder):
    """An empty folder."""
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith('.svg'):
            os.remove(os.path.join(folder, name))
