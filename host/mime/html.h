/* Between html.c (what stands where) and style.c (what a reader sees of it). */
#ifndef MR_MIME_HTML_H
#define MR_MIME_HTML_H

#include "decoder.h"

#define MIME_MAX_ELEMENTS 64u

/* How an element's text looks: inherited. */
struct mime_look {
    uint32_t ink, paper; /* 0xrrggbb */
    bool hidden;         /* for any other reason than its colours */
};

struct mime_element {
    uint8_t name; /* index in the table of html.c */
    struct mime_look look;
};

/* What the attributes of a tag say. */
void mime_style(struct mime_look *look, struct mr_mime_text declarations);
/* A colour; false: none that is known, and *colour stays. */
bool mime_colour(struct mr_mime_text text, uint32_t *colour);
bool mime_invisible(const struct mime_look *look);

#endif
