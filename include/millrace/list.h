/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists as values (MR_TYPE_LIST): elements of any type that can be kept, behind one another. An
 * element is its type (1 byte), the length of its bytes (4 bytes, as the machine has them), and its
 * bytes: 8 of an int or a real, 24 of an address, 48 of a flow, else as many as there are. Equal
 * lists have equal bytes. Nothing is aligned.
 */
#ifndef MILLRACE_LIST_H
#define MILLRACE_LIST_H

#include "millrace/component.h"

#include <string.h>

#define MR_LIST_MAX_BYTES 65536u
#define MR_LIST_HEAD      5u

struct mr_element {
    enum mr_type type;
    const uint8_t *bytes;
    uint32_t len;
};

/* What stands in the list for a value; false: values of this type cannot. The element borrows from
 * *value. */
static inline bool mr_element_of(enum mr_type type, const union mr_value *value,
                                 struct mr_element *element)
{
    *element = (struct mr_element){.type = type, .bytes = value->b.ptr, .len = value->b.len};
    switch (type) {
    case MR_TYPE_INT:
    case MR_TYPE_REAL:
        element->bytes = (const uint8_t *)value;
        element->len = 8;
        return true;
    case MR_TYPE_STRING:
    case MR_TYPE_LIST:
        return true;
    case MR_TYPE_ADDRESS:
        element->len = sizeof(struct mr_endpoint);
        return true;
    case MR_TYPE_FLOW:
        element->len = 2 * sizeof(struct mr_endpoint);
        return true;
    default:
        return false;
    }
}

/* Writes an element; gives the bytes written. There must be room for MR_LIST_HEAD + len. */
static inline uint32_t mr_list_write(uint8_t *to, const struct mr_element *element)
{
    to[0] = (uint8_t)element->type;
    memcpy(to + 1, &element->len, 4);
    if (element->len)
        memcpy(to + MR_LIST_HEAD, element->bytes, element->len);
    return MR_LIST_HEAD + element->len;
}

/* The element at *offset, and moves on behind it; false: the list ends. */
static inline bool mr_list_next(union mr_value list, uint32_t *offset, struct mr_element *element)
{
    const uint8_t *bytes = list.b.ptr;
    uint32_t len;

    if (*offset > list.b.len || list.b.len - *offset < MR_LIST_HEAD)
        return false;
    memcpy(&len, bytes + *offset + 1, 4);
    if (len > list.b.len - *offset - MR_LIST_HEAD)
        return false;
    *element = (struct mr_element){
        .type = (enum mr_type)bytes[*offset], .bytes = bytes + *offset + MR_LIST_HEAD, .len = len};
    *offset += MR_LIST_HEAD + len;
    return true;
}

#endif
