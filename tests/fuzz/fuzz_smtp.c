/* The SMTP parser: any bytes and holes of both directions. Besides what the sanitizers see: what
 * comes out does not depend on the cuts, all memory is given back, and none is held without bound;
 * no two transactions have one number, and that of each mail is one that is told.
 *
 * Input: a byte of flags, then records: a byte (1: from the server, 2: a hole), a length, and, but
 * for holes, as many bytes. */
// layers: components
#include "smtp_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *feed(const uint8_t *data, size_t size, size_t most)
{
    static const struct mr_smtp_limits small = {100, 40, 40, 3, 12, 5, 60};
    struct run run = {0};
    uint8_t flags = data[0];

    run.outcome.full_text = true;
    run_open(&run, flags & 4 ? &small : NULL, flags & 3);
    if (flags & 8)
        run.outcome.refuse_after = 3 + (flags >> 4);
    for (size_t i = 1; i + 2 <= size;) {
        uint8_t head = data[i], len = data[i + 1];
        i += 2;
        if (head & 2) {
            struct piece gap = {.direction = head & 1, .gap = len};
            run_piece(&run, &gap);
            continue;
        }
        size_t n = len < size - i ? len : size - i;
        for (size_t at = 0; at < n; at += most)
            run_bytes(&run, head & 1, data + i + at, most < n - at ? most : n - at);
        i += n;
    }
    if (run.outcome.peak > (1u << 20) + 8 * size)
        abort();
    char *text = run_close(&run);
    if (run.outcome.misnumbered) {
        fputs(text, stderr);
        abort();
    }
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || size > 1u << 16)
        return 0;
    char *whole = feed(data, size, SIZE_MAX);
    if (!(data[0] & 8)) { /* where memory is refused depends on how often it is asked for */
        char *cut = feed(data, size, 1), *cut3 = feed(data, size, 3);
        if (strcmp(whole ? whole : "", cut ? cut : "") ||
            strcmp(whole ? whole : "", cut3 ? cut3 : "")) {
            fprintf(stderr, "--- whole\n%s--- in bytes\n%s--- in threes\n%s", whole ? whole : "",
                    cut ? cut : "", cut3 ? cut3 : "");
            abort();
        }
        free(cut);
        free(cut3);
    }
    free(whole);
    return 0;
}
