"""Whether all engines gave the same answers, and lost nothing that they had acknowledged."""

import math

SAME_QUESTION = {'first_answer': 'first slice', 'reopen': 'first slice'}
TOLERANCE = 1e-9


def differs(answer, reference):
    return len(answer) != len(reference) or not all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for a, b in zip(answer, reference))


def disagreements(lines):
    """The first engine's answer to a question is what the others' are held against. Each question
    once for each configuration, set and size: also after late rows, a merge or a kill."""
    first, found = {}, {}
    for line in lines:
        if 'answer' not in line or line.get('phase') is None:
            continue
        question = SAME_QUESTION.get(line['measure'], line['measure'])
        where = (line['set'], line['rows_total'], question)
        label, expected = first.setdefault(where, (line['configuration'], line['answer']))
        if differs(line['answer'], expected):
            found.setdefault((line['configuration'], *where), dict(
                configuration=line['configuration'], set=line['set'],
                rows_total=line['rows_total'], measure='disagreement', question=question,
                answer=line['answer'], reference=expected, reference_of=label))
    return list(found.values())


def lost_rows(lines):
    """Acknowledged rows that a kill -9 lost. Only `periodic` promises nothing."""
    for line in lines:
        if line['measure'] == 'reopen' and line['rows'] != line['acknowledged']:
            yield dict(configuration=line['configuration'], set=line['set'],
                       rows_total=line['rows_total'], measure='failure',
                       promised='periodic' not in line['configuration'],
                       reason=f"{line['acknowledged']} rows were acknowledged, {line['rows']} are "
                              'there after kill -9')
