#include "base/number.h"

#include <ctype.h>
#include <stddef.h>

const char *mr_read_digits(const char *text, uint64_t most, uint64_t *number)
{
    if (*text < '0' || *text > '9')
        return NULL;
    for (*number = 0; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > most || *number > (most - digit) / 10)
            return NULL;
        *number = *number * 10 + digit;
    }
    return text;
}

bool mr_read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    const char *end = mr_read_digits(text, most, number);

    return end && !*end && *number >= least;
}

bool mr_may_be_port(const char *text)
{
    bool letters = false;
    uint64_t number;

    for (const char *c = text; *c; c++) {
        letters = letters || isalpha((unsigned char)*c);
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
            return false;
    }
    return letters || mr_read_number(text, 1, UINT16_MAX, &number);
}
