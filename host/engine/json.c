#include "engine/json.h"

#include <stdlib.h>
#include <string.h>

void mr_json_string(yajl_gen g, const char *text)
{
    if (yajl_gen_string(g, (const unsigned char *)text, strlen(text)) == yajl_gen_status_ok)
        return;
    char *plain = strdup(text);
    for (char *c = plain; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    const char *shown = plain ? plain : "";
    yajl_gen_string(g, (const unsigned char *)shown, strlen(shown));
    free(plain);
}

void mr_json_text(yajl_gen g, const char *key, const char *text)
{
    mr_json_string(g, key);
    mr_json_string(g, text);
}

void mr_json_int(yajl_gen g, const char *key, uint64_t value)
{
    mr_json_string(g, key);
    yajl_gen_integer(g, value > INT64_MAX ? INT64_MAX : (long long)value);
}

void mr_json_real(yajl_gen g, const char *key, double value)
{
    mr_json_string(g, key);
    yajl_gen_double(g, value);
}

void mr_json_counter(yajl_gen g, const char *upper, uint64_t value)
{
    char name[64];
    size_t i = 0;

    for (; upper[i] && i + 1 < sizeof name; i++)
        name[i] = upper[i] >= 'A' && upper[i] <= 'Z' ? (char)(upper[i] + 32) : upper[i];
    name[i] = '\0';
    mr_json_int(g, name, value);
}
