/* What the readers of patterns share: text that is read from one end to the other. */
#ifndef MR_COMPONENTS_MATCH_READER_H
#define MR_COMPONENTS_MATCH_READER_H

#include "components/match.h"

/* A stretch of text being read; `at` goes from `start` to `end`, where a NUL stands. */
struct mr_match_reader {
    const struct mr_match_set *set;
    struct mr_bind_error *error;
    const char *start, *at, *end;
    uint32_t line; /* 0: a constant */
};

/* Fills reader->error about the byte at reader->at and returns MR_ERR_PROGRAM. */
enum mr_status mr_match_refuse_here(const struct mr_match_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "/regex/flags{ext}" from reader->at to reader->end. Copies go to *memory, which moves on. */
enum mr_status mr_match_read_pattern(struct mr_match_reader *reader,
                                     struct mr_match_pattern *pattern, char **memory);

/* Sets the flags that verbs at the start of pattern->regex, as (*UTF8), stand for. */
void mr_match_leading_verbs(struct mr_match_pattern *pattern);

/* Memory that the copies of `n` patterns of `len` bytes together may take. */
size_t mr_match_copy_bytes(size_t n, size_t len);

/* Copies text to *memory, with a NUL, and moves *memory behind it. */
char *mr_match_copy(char **memory, const char *text, size_t len);

#endif
