/* Detector and SMTP processor in a chain, on any bytes and holes of both directions: the answer,
 * the mails and the events do not depend on the cuts, and all memory is given back.
 *
 * Input as that of fuzz_smtp: a byte of flags, then records: a byte (1: from the server, 2: a
 * hole), a length, and, but for holes, as many bytes. */
// layers: components
#include "flow_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *feed(const uint8_t *data, size_t size, size_t most, char answer[16])
{
    static const uint16_t ports[] = {25, 21, 80, 4711};
    struct flow_rig rig;

    flow_rig_open(&rig, ports[data[0] >> 1 & 3], data[0] & 1);
    for (size_t i = 1; i + 2 <= size;) {
        uint8_t head = data[i], len = data[i + 1];
        i += 2;
        if (head & 2) {
            flow_rig_chunk(&rig, MR_CHUNK_GAP, head & 1, NULL, 0, len);
            continue;
        }
        size_t n = len < size - i ? len : size - i;
        for (size_t at = 0; at < n; at += most)
            flow_rig_chunk(&rig, MR_CHUNK_DATA, head & 1, data + i + at,
                           most < n - at ? most : n - at, 0);
        i += n;
    }
    flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
    memcpy(answer, rig.last_answer, sizeof rig.last_answer);
    return flow_rig_close(&rig, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char answers[3][16];

    if (!size || size > 1u << 16)
        return 0;
    char *whole = feed(data, size, SIZE_MAX, answers[0]);
    char *one = feed(data, size, 1, answers[1]), *five = feed(data, size, 5, answers[2]);
    if (strcmp(whole, one) || strcmp(whole, five) || strcmp(answers[0], answers[1]) ||
        strcmp(answers[0], answers[2])) {
        fprintf(stderr, "--- whole: %s\n%s--- in bytes: %s\n%s--- in fives: %s\n%s", answers[0],
                whole, answers[1], one, answers[2], five);
        abort();
    }
    free(whole);
    free(one);
    free(five);
    return 0;
}
