/* Parameters: `param NAME = literal.`, overridden by --set NAME=VALUE of the same type. */
#include "analog/diagnostic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool set_int(const char *value, struct mr_constant *constant)
{
    char *end;
    bool hexadecimal = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');

    errno = 0;
    long long number = strtoll(value, &end, hexadecimal ? 16 : 10);
    if (!*value || *end || errno)
        return false;
    constant->value = mr_value_int(number);
    return true;
}

static bool set_real(const char *value, struct mr_constant *constant)
{
    char *end;

    errno = 0;
    double number = strtod(value, &end);
    if (!*value || *end || errno)
        return false;
    constant->value = mr_value_int(0);
    constant->value.d = number;
    return true;
}

/* A string is taken as it is, without quotes or escapes: the shell has its own. @FILE is a file, as
 * in programs, and @@ at the beginning one @ of a text. A file counts from the folder in which the
 * command runs. */
static bool set_text(struct compile *compile, const char *value, struct literal *literal)
{
    if (*value == '@') {
        value++;
        literal->constant.is_file = *value != '@';
    }
    size_t len = strlen(value);
    char *copy = len <= MAX_SOURCE_BYTES ? analog_keep_text(compile, value, len) : NULL;
    if (!copy)
        return false;
    literal->constant.value = mr_value_bytes(copy, (uint32_t)len);
    return true;
}

static void apply(struct compile *compile, const char *setting, bool *used)
{
    const char *equals = strchr(setting, '=');
    size_t len = equals ? (size_t)(equals - setting) : strlen(setting);
    char *place = analog_keep_format(compile, "--set %s", setting);
    const struct mr_where where = {.file = place};
    char *name = analog_keep_text(compile, setting, len);

    if (!place || !name)
        return;
    if (!equals || !len) {
        analog_error(compile, &where, "expected NAME=VALUE");
        return;
    }
    struct parameter *parameter = analog_parameter(compile, name);
    if (used && !parameter)
        return; /* another program may have it */
    if (used)
        *used = true;
    if (!parameter) {
        struct nearest nearest = {.wanted = name};
        for (struct parameter *p = compile->program.parameters; p; p = p->next)
            analog_nearest(&nearest, p->name);
        if (compile->incomplete)
            return;
        analog_error(compile, &where, "the program has no parameter %s", name);
        if (nearest.name)
            analog_hint(compile, "did you mean %s?", nearest.name);
        else if (!compile->program.parameters)
            analog_hint(compile, "a parameter is written param %s = VALUE. in the program", name);
        return;
    }
    if (parameter->broken)
        return; /* reported */
    struct literal *literal = &parameter->value;
    enum mr_type type = literal->constant.type;
    if (type == MR_TYPE_STRING && !strcmp(equals + 1, "@")) {
        analog_error(compile, &where, "expected the path of a file behind @");
        analog_hint(compile, "a text that is one @ is written %s=@@", name);
        return;
    }
    bool good = type == MR_TYPE_INT    ? set_int(equals + 1, &literal->constant)
                : type == MR_TYPE_REAL ? set_real(equals + 1, &literal->constant)
                                       : set_text(compile, equals + 1, literal);
    if (!good)
        analog_error(compile, &where, "the parameter %s is of type %s", name, mr_type_name(type));
    literal->where = where;
    literal->raw = NULL;
}

void analog_parameters(struct compile *compile)
{
    for (uint32_t i = 0; i < compile->config->n_settings && !analog_enough(compile); i++)
        apply(compile, compile->config->settings[i],
              compile->config->used ? &compile->config->used[i] : NULL);
}
