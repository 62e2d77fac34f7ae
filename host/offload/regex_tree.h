/* A pattern as a tree over sets of bytes, for the compiler of this folder. Nodes live in an arena;
 * nothing in them points back to the text. */
#ifndef MR_OFFLOAD_REGEX_TREE_H
#define MR_OFFLOAD_REGEX_TREE_H

#include "base/arena.h"
#include "offload/regex.h"

#include <stdbool.h>
#include <stdint.h>

struct mr_byte_set {
    uint64_t words[4];
};

static inline bool mr_byte_in(const struct mr_byte_set *set, unsigned byte)
{
    return set->words[byte >> 6] >> (byte & 63) & 1;
}

static inline void mr_byte_add(struct mr_byte_set *set, unsigned byte)
{
    set->words[byte >> 6] |= (uint64_t)1 << (byte & 63);
}

/* What must hold between two bytes; a mask of several is all of them. */
enum mr_assertion {
    MR_AT_TEXT_START = 1,
    MR_AT_LINE_START = 2,
    MR_AT_LAST_LINE_END = 4, /* the end, or before a newline that ends the text */
    MR_AT_LINE_END = 8,
    MR_AT_TEXT_END = 16,
    MR_AT_WORD_EDGE = 32,
    MR_AT_NO_WORD_EDGE = 64,
};

enum mr_node_kind {
    MR_NODE_EMPTY,
    MR_NODE_SET,    /* one byte of `set` */
    MR_NODE_CONCAT, /* the children, one after the other */
    MR_NODE_ALT,    /* one of the children */
    MR_NODE_REPEAT, /* the child, min to max times */
    MR_NODE_ASSERT, /* nothing, where `assertion` holds */
};

#define MR_REPEAT_ENDLESS UINT32_MAX

struct mr_node {
    enum mr_node_kind kind;
    enum mr_assertion assertion;
    uint32_t min, max;
    struct mr_byte_set set;
    struct mr_node *first, *last, *next; /* children; the next child of the same node */
};

struct mr_tree {
    struct mr_node *root;
    bool utf8; /* by flag or verb: holds for messages that are UTF-8 as a whole */
};

/* Parses what Hyperscan accepts. MR_ERR_PROGRAM and *why, a constant text, for what this compiler
 * does not express (Hyperscan may): the pattern then stays on the CPU. */
enum mr_status mr_regex_parse(const char *regex, uint32_t flags, struct mr_arena *arena,
                              struct mr_tree *tree, const char **why);

/* ---- between the files of the parser ---- */

#define MR_POINT_MAX   0x10ffffu
#define MR_POINTS_MAX  400u /* ranges in one class */
#define MR_NESTING_MAX 200u

struct mr_points {
    uint32_t n;
    bool failed; /* there were more */
    bool k, s;   /* written out, in any case, and not only in a named class */
    struct {
        uint32_t low, high;
    } ranges[MR_POINTS_MAX];
};

struct mr_regex_reader {
    const uint8_t *at, *end;
    uint32_t flags; /* MR_REGEX_, as they are here */
    struct mr_arena *arena;
    const char *why; /* set: reading ends */
    uint32_t nesting;
    bool utf8;
    struct mr_points points; /* the class being read */
};

struct mr_node *mr_node_new(struct mr_regex_reader *reader, enum mr_node_kind kind);
void mr_node_append(struct mr_node *parent, struct mr_node *child);

void mr_points_clear(struct mr_points *points);
void mr_points_add(struct mr_points *points, uint32_t low, uint32_t high);
/* The same for what stands in the pattern as characters: these have other cases beyond ASCII. */
void mr_points_add_written(struct mr_points *points, uint32_t low, uint32_t high);
/* Sorted, without overlaps; everything else up to `max` with `negate`. */
void mr_points_normalise(struct mr_points *points, bool negate, uint32_t max);
/* Adds the other case of every letter; false: a letter beyond ASCII is among them. */
bool mr_points_fold(struct mr_points *points, bool utf8);
/* One character of them. */
struct mr_node *mr_points_node(struct mr_regex_reader *reader, const struct mr_points *points);

/* An escape for one character or a class, behind the backslash. Adds it to reader->points and
 * returns its value if it is one character, else MR_POINT_MAX + 1. */
uint32_t mr_regex_escape(struct mr_regex_reader *reader, bool in_class);
/* A class behind its '['. */
struct mr_node *mr_regex_class(struct mr_regex_reader *reader);
/* Any character but newline (or with it, flag s). */
struct mr_node *mr_regex_dot(struct mr_regex_reader *reader);
/* The character at reader->at, decoded, and reader->at moves on. */
uint32_t mr_regex_literal(struct mr_regex_reader *reader);
/* reader->points as they stand, with caselessness applied, as a node. */
struct mr_node *mr_regex_take_points(struct mr_regex_reader *reader, bool negate);

#endif
