/* Where in a regex the thing stands that Hyperscan refuses. Some of its sentences say so ("... at
 * index 12"), the others name a construct; the first of that kind is it then. */
#include "components/match.h"

#include <stdlib.h>
#include <string.h>

/* A word of Hyperscan's sentence, and how what it speaks of begins. */
static const struct {
    const char *word;
    const char *starts[8];
} constructs[] = {
    {"assertion", {"(?=", "(?!", "(?<=", "(?<!"}},
    {"Back-reference", {"(?P=", "\\k", "\\g"}}, /* and \1 to \9 */
    {"Atomic", {"(?>"}},
    {"Possessive", {"++", "*+", "?+", "}+"}},
    {"start anchor", {"^", "\\A"}},
    {"end anchor", {"$", "\\z", "\\Z"}},
    {"conditional", {"(?("}},
    {"comment", {"(?#"}},
    {"repeat", {"{"}},
};

static bool is_at(const char *at, size_t which)
{
    if (!strcmp(constructs[which].word, "Back-reference") && at[0] == '\\' && at[1] >= '1' &&
        at[1] <= '9')
        return true;
    for (size_t i = 0; i < 8 && constructs[which].starts[i]; i++)
        if (!strncmp(at, constructs[which].starts[i], strlen(constructs[which].starts[i])))
            return true;
    return false;
}

/* Behind the character at `at`: an escape, a class and anything else count as one. */
static const char *skip(const char *at)
{
    if (*at == '\\')
        return at[1] ? at + 2 : at + 1;
    if (*at++ != '[')
        return at;
    at += *at == '^';
    at += *at == ']';
    while (*at && *at != ']')
        at += *at == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : at;
}

uint32_t mr_match_position(const char *message, const char *regex)
{
    const char *index = strstr(message, " index ");
    size_t which = 0;

    if (index)
        return (uint32_t)strtoul(index + strlen(" index "), NULL, 10);
    while (which < sizeof constructs / sizeof constructs[0] &&
           !strstr(message, constructs[which].word))
        which++;
    if (which == sizeof constructs / sizeof constructs[0])
        return 0;
    /* an anchor at the very start is not the embedded one */
    bool start = strstr(message, "start anchor") != NULL;
    for (const char *at = regex; *at; at = skip(at))
        if (is_at(at, which) && !(start && at == regex))
            return (uint32_t)(at - regex);
    return 0;
}
