#include "base/number.h"

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
