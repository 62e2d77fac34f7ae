/* See analog_mock.h. */
#include "analog_mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mock_bound;

/* Refuses patterns whose parentheses do not match, and files named "refused". */
static enum mr_status bind_pattern(const struct mr_constant *constants, uint32_t n, void **config,
                                   struct mr_bind_error *error)
{
    if (n != 1 || constants[0].type != MR_TYPE_STRING)
        return MR_ERR_INTERNAL;
    const char *text = constants[0].value.b.ptr;
    if (text[constants[0].value.b.len] != '\0')
        return MR_ERR_INTERNAL;
    if (constants[0].is_file && strstr(text, "refused")) {
        snprintf(error->text, sizeof error->text, "%s:1: bad pattern", text);
        return MR_ERR_PROGRAM;
    }
    int depth = 0;
    for (uint32_t i = 0; !constants[0].is_file && i < constants[0].value.b.len; i++) {
        depth += (text[i] == '(') - (text[i] == ')');
        if (depth >= 0)
            continue;
        error->offset = (int32_t)i;
        snprintf(error->text, sizeof error->text, "bad pattern: ) without (");
        return MR_ERR_PROGRAM;
    }
    if (depth > 0) {
        snprintf(error->text, sizeof error->text, "bad pattern: ( without )");
        return MR_ERR_PROGRAM;
    }
    *config = malloc(1);
    mock_bound += *config != NULL;
    return *config ? MR_OK : MR_ERR_MEMORY;
}

static void unbind_pattern(void *config)
{
    mock_bound -= config != NULL;
    free(config);
}

#define MAP(fname, to, count, ...)                                                                 \
    .name = fname, .summary = fname, .args = {__VA_ARGS__}, .n_args = count, .result = to,         \
    .shape = MR_SHAPE_MAP, .backends = "cpu"
#define EXPAND(fname, to, count, ...)                                                              \
    .name = fname, .summary = fname, .args = {__VA_ARGS__}, .n_args = count, .result = to,         \
    .shape = MR_SHAPE_EXPAND, .backends = "cpu"
#define PER_FLOW(bytes)                                                                            \
    .order = MR_ORDER_CONTEXT, .context_key = MR_TYPE_FLOW, .context_bytes = (bytes)

static const struct mr_function engine[] = {
    {EXPAND("f_processIpFrag", MR_TYPE_PACKET, 1, MR_TYPE_PACKET)},
    {MAP("f_getTransportProtocol", MR_TYPE_STRING, 1, MR_TYPE_PACKET), .pure = true},
    {MAP("f_getSrcIPAddr", MR_TYPE_ADDRESS, 2, MR_TYPE_PACKET, MR_TYPE_STRING), .n_optional = 1,
     .pure = true},
    {MAP("f_getDstIPAddr", MR_TYPE_ADDRESS, 2, MR_TYPE_PACKET, MR_TYPE_STRING), .n_optional = 1,
     .pure = true},
    {MAP("f_traffic", MR_TYPE_INT, 2, MR_TYPE_PACKET, MR_TYPE_STRING), .n_constant = 1},
    {MAP("f_getTCPFlowId", MR_TYPE_FLOW, 2, MR_TYPE_ADDRESS, MR_TYPE_ADDRESS), .pure = true},
    {MAP("f_getUDPFlowId", MR_TYPE_FLOW, 2, MR_TYPE_ADDRESS, MR_TYPE_ADDRESS), .pure = true},
    {EXPAND("f_processTCP", MR_TYPE_STREAM, 1, MR_TYPE_PACKET), PER_FLOW(200)},
    {MAP("f_processTCPDetector", MR_TYPE_STRING, 2, MR_TYPE_STREAM, MR_TYPE_FLOW), PER_FLOW(24)},
    {EXPAND("f_processSMTPSegment", MR_TYPE_STRING, 2, MR_TYPE_STREAM, MR_TYPE_FLOW),
     PER_FLOW(100)},
    {MAP("f_match", MR_TYPE_STRING, 2, MR_TYPE_STRING, MR_TYPE_STRING), .n_constant = 1,
     .pure = true, .aliases = "f_regex f_grep", .bind = bind_pattern, .unbind = unbind_pattern},
    {MAP("f_IPtoSTR", MR_TYPE_STRING, 1, MR_TYPE_ADDRESS), .pure = true},
    {MAP("f_processUDPDetector", MR_TYPE_STRING, 1, MR_TYPE_PACKET)},
};

static const struct mr_function sip[] = {
    {EXPAND("f_sipEventParse", MR_TYPE_STRING, 1, MR_TYPE_PACKET), .pure = true},
    {MAP("f_sipcallid", MR_TYPE_STRING, 1, MR_TYPE_STRING), .pure = true},
    {EXPAND("f_sipEventProcess", MR_TYPE_STRING, 1, MR_TYPE_STRING), .order = MR_ORDER_CONTEXT,
     .context_key = MR_TYPE_STRING, .context_bytes = 64},
};

static const struct mr_function dos[] = {
    {EXPAND("f_getTCPFeature", MR_TYPE_STRING, 1, MR_TYPE_STREAM)},
    {MAP("f_detectAttack", MR_TYPE_STRING, 1, MR_TYPE_STRING), .pure = true},
};

static const struct mr_function odd[] = {
    {MAP("f_length", MR_TYPE_INT, 1, MR_TYPE_STRING), .pure = true},
    {MAP("f_time", MR_TYPE_REAL, 1, MR_TYPE_PACKET), .pure = true},
    {MAP("f_root", MR_TYPE_REAL, 1, MR_TYPE_REAL), .pure = true},
    {MAP("f_any", MR_TYPE_INT, 1, MR_TYPE_ANY), .pure = true},
    {MAP("f_count", MR_TYPE_INT, 1, MR_TYPE_ANY), .order = MR_ORDER_TOTAL},
    {MAP("f_perKey", MR_TYPE_INT, 1, MR_TYPE_ANY), .order = MR_ORDER_CONTEXT, .context_bytes = 8},
    {EXPAND("f_words", MR_TYPE_STRING, 1, MR_TYPE_STRING), .pure = true},
    {MAP("f_scale", MR_TYPE_REAL, 3, MR_TYPE_REAL, MR_TYPE_REAL, MR_TYPE_INT), .n_constant = 2,
     .n_optional = 1, .pure = true},
    {MAP("f_huge", MR_TYPE_INT, 1, MR_TYPE_ANY), .order = MR_ORDER_CONTEXT, .context_bytes = 5000},
};

#define COMPONENT(array)                                                                           \
    {                                                                                              \
        MR_COMPONENT_ABI, sizeof(struct mr_component), #array, #array, array,                      \
            sizeof array / sizeof *array                                                           \
    }
static const struct mr_component components[MOCK_ALL] = {COMPONENT(engine), COMPONENT(sip),
                                                         COMPONENT(dos), COMPONENT(odd)};

const struct mr_component *const mock_components[MOCK_ALL] = {&components[0], &components[1],
                                                              &components[2], &components[3]};
