/* JSON by yajl: keys with their values. What is not UTF-8 is shown without it. */
#ifndef MR_ENGINE_JSON_H
#define MR_ENGINE_JSON_H

#include <stdint.h>

#include <yajl/yajl_gen.h>

void mr_json_string(yajl_gen g, const char *text); /* a key, or a value by itself */
void mr_json_text(yajl_gen g, const char *key, const char *text);
void mr_json_int(yajl_gen g, const char *key, uint64_t value);
void mr_json_real(yajl_gen g, const char *key, double value);
/* The name of a counter, which counters.def has in capitals, as a key in small letters. */
void mr_json_counter(yajl_gen g, const char *upper, uint64_t value);

#endif
