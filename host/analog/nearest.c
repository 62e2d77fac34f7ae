/* The known name that is nearest to a wrong one, by edit distance. */
#include "analog/diagnostic.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define LONGEST 64u

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours; case counts for nothing. */
static uint32_t distance(const char *a, uint32_t n, const char *b, uint32_t m)
{
    uint32_t rows[3][LONGEST + 1];
    uint32_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (uint32_t j = 0; j <= m; j++)
        last[j] = j;
    for (uint32_t i = 1; i <= n; i++) {
        row[0] = i;
        for (uint32_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = smaller(smaller(row[j - 1], last[j]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        uint32_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[m];
}

void analog_nearest(struct nearest *nearest, const char *candidate)
{
    size_t n = strlen(nearest->wanted), m = strlen(candidate);

    if (n > LONGEST || m > LONGEST || !m)
        return;
    uint32_t longer = (uint32_t)(n > m ? n : m);
    uint32_t allowed = longer <= 2 ? 0 : longer <= 3 ? 1 : longer / 3;
    uint32_t d = distance(nearest->wanted, (uint32_t)n, candidate, (uint32_t)m);
    if (d > allowed || (nearest->name && d >= nearest->distance))
        return;
    nearest->name = candidate;
    nearest->distance = d;
}

struct mr_where analog_span(const struct mr_where *from, const struct mr_where *to)
{
    struct mr_where span = *from;
    if (from->file == to->file && from->line == to->line && to->column >= from->column)
        span.length = to->column + to->length - from->column;
    return span;
}
