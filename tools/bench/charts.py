"""Bar charts of a table's most telling measures, as SVG."""

import os

import matplotlib
from matplotlib import pyplot
from matplotlib.ticker import EngFormatter, NullFormatter

import figures

matplotlib.use('svg')
matplotlib.rcParams.update({'svg.hashsalt': 'varve', 'font.size': 10, 'axes.spines.top': False,
                            'axes.spines.right': False})
KEYS = ('ingest_1_many', 'ingest_1000', 'ingest_whole', 'ingest_flushed', 'size_flushed', 'size_merged', 'slice_p50',
        'slice_crowd', 'cpu_slice', 'hour_p50', 'hourly_all', 'by_partition', 'total', 'latest', 'reopen')
LOG_FROM = 10  # ratio of the greatest to the least bar
OURS, THEIRS = '#1f6fb2', '#9aa5ad'
NAMES = {'rows/s': 'rows a second', '/s': 'a second', 's': 'time', 'B/row': 'bytes a row'}


def label_of(value, unit):
    digits = EngFormatter('s' if unit == 's' else '', sep=' ')
    return digits(float(f'{value:.3g}'))


def title_of(table, measure):
    return f'{figures.full_title(measure)}; {table.name}, {table.rows:,} rows'


def draw(table, measure, labels, path):
    chosen = [table.figure(label, measure.key) for label in labels]
    medians = [figure.median for figure in chosen]
    spread = [[figure.median - min(figure.values) for figure in chosen],
              [max(figure.values) - figure.median for figure in chosen]]
    drawing, axes = pyplot.subplots(figsize=(8, 0.9 + 0.36 * len(labels)), layout='constrained')
    numbers = EngFormatter('s' if measure.unit == 's' else '', places=None, sep=' ')
    bars = axes.barh(labels, medians, xerr=spread, capsize=3, height=0.65,
                     color=[OURS if label.startswith('varve') else THEIRS for label in labels])
    axes.bar_label(bars, [label_of(median, measure.unit) for median in medians], padding=5)
    if max(medians) > LOG_FROM * min(medians):
        axes.set_xscale('log')
        axes.set_xlim(min(medians) / 4, max(medians) * 4)
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, max(medians) * 1.2)
    axes.xaxis.set_major_formatter(numbers)
    axes.invert_yaxis()
    axes.set_xlabel(NAMES[measure.unit]
                    + (' (more is better)' if measure.higher_is_better else ' (less is better)'))
    axes.set_title(title_of(table, measure), loc='left', fontsize=11)
    axes.grid(axis='x', alpha=0.3)
    axes.set_axisbelow(True)
    drawing.savefig(path, metadata={'Date': None})
    pyplot.close(drawing)


def draw_all(table, folder):
    """Draw what two or more configurations have; yields file name and title."""
    os.makedirs(folder, exist_ok=True)
    for key in KEYS:
        measure = figures.MEASURES[key]
        labels = [label for label in table.raw if table.figure(label, key)]
        labels.sort(key=lambda label: table.figure(label, key).median,
                    reverse=measure.higher_is_better)
        if len(labels) < 2 or table.figure(labels[0], key).median <= 0:
            continue
        name = f'{table.name}-{table.rows}-{key}.svg'
        draw(table, measure, labels, os.path.join(folder, name))
        yield name, title_of(table, measure)
