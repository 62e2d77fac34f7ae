/* Patterns as somebody may write them: the reader of constants and of pattern files neither crashes
 * nor fills an error beyond its place. The first byte says which; Hyperscan itself only sees
 * patterns of the shorter inputs, for time's sake. */
// layers: base components
#include "components/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check_error(const struct mr_bind_error *error, size_t size)
{
    if (error->offset >= 0 && (size_t)error->offset > size)
        abort();
    if (!memchr(error->text, '\0', sizeof error->text) || !error->text[0])
        abort();
}

static void check_set(const struct mr_match_set *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (!set->patterns[i].regex || !set->patterns[i].text ||
            (i && set->patterns[i].id <= set->patterns[i - 1].id))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct mr_match_set set;
    struct mr_match_groups groups;
    struct mr_bind_error error = {0, -1, ""};
    struct mr_constant constant = {.type = MR_TYPE_STRING};

    if (!size || size > 4096)
        return 0;
    char *text = malloc(size); /* with a NUL behind it, as a program's constants have */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] % 2) {
        snprintf(path, sizeof path, "/tmp/mr_fuzz_match_%d", (int)getpid());
        FILE *file = fopen(path, "wb");
        if (file) {
            fwrite(text, 1, size - 1, file);
            fclose(file);
        }
        constant.is_file = true;
        constant.value = mr_value_bytes(path, (uint32_t)strlen(path));
    } else {
        constant.value = mr_value_bytes(text, (uint32_t)(size - 1));
    }
    if (mr_match_set_read(&set, &constant, &error)) {
        check_error(&error, size);
    } else {
        check_set(&set);
        if (size < 128) {
            if (mr_match_compile(&groups, &set, &error))
                check_error(&error, size);
            mr_match_groups_free(&groups);
        }
    }
    mr_match_set_free(&set);
    if (constant.is_file)
        unlink(path);
    free(text);
    return 0;
}
