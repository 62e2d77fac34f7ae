/* Loading programs: what the user calls them, which settings are theirs, and the plan they make. */
#include "engine/internal.h"

#include "offload/backend.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static bool name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

const char *mr_load_spec(const char *spec, char name[MR_PROGRAM_NAME_BYTES])
{
    size_t n = 0;

    while (name_character(spec[n]))
        n++;
    name[0] = '\0';
    if (!n || spec[n] != '=' || n >= MR_PROGRAM_NAME_BYTES)
        return spec;
    memcpy(name, spec, n);
    name[n] = '\0';
    return spec + n + 1;
}

/* The setting as it concerns a program; NULL: it is another one's. */
static const char *own_setting(const char *setting, const char *program)
{
    size_t n = strcspn(setting, ":=");

    if (setting[n] != ':')
        return setting;
    return strlen(program) == n && !strncmp(setting, program, n) ? setting + n + 1 : NULL;
}

/* What a program without a given name will be called: a name that can be given as well. */
static void name_of_file(const char *path, char name[MR_PROGRAM_NAME_BYTES])
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t n = dot && dot != base ? (size_t)(dot - base) : strlen(base);

    snprintf(name, MR_PROGRAM_NAME_BYTES, "%.*s", (int)n, strcmp(path, "-") ? base : "stdin");
    for (char *c = name; *c; c++)
        if (!name_character(*c))
            *c = '_';
}

enum mr_status mr_load_program(const char *spec, const struct mr_engine_programs *programs,
                               bool *used, FILE *diagnostics, struct mr_program **program)
{
    const char *const *settings = programs->settings;
    uint32_t n_settings = programs->n_settings;
    bool alone = !used;
    const struct mr_component *list[MR_MAX_COMPONENTS];
    const char **own = calloc(n_settings + 1, sizeof *own);
    bool *own_used = calloc(n_settings + 1, sizeof *own_used);
    struct mr_diagnostics *messages = mr_diagnostics_new();
    struct mr_analog_config config = {.components = list,
                                      .n_components = mr_all_components(list),
                                      .settings = own,
                                      .bypass_encrypted = programs->bypass_encrypted,
                                      .used = alone ? NULL : own_used};
    char name[MR_PROGRAM_NAME_BYTES];
    const char *path = mr_load_spec(spec, name);
    enum mr_status status = MR_ERR_MEMORY;

    *program = NULL;
    if (own && own_used && messages) {
        if (!name[0])
            name_of_file(path, name);
        for (uint32_t i = 0; i < n_settings; i++)
            if ((own[config.n_settings] = own_setting(settings[i], name)))
                config.n_settings++;
        status = mr_analog_program_file(path, name, &config, messages, program);
        for (uint32_t i = 0, at = 0; used && i < n_settings; i++)
            if (own_setting(settings[i], name))
                used[i] |= own_used[at++];
        mr_diagnostics_print(messages, diagnostics, false);
    }
    mr_diagnostics_free(messages);
    free(own_used);
    free(own);
    return status;
}

static enum mr_status check_names(struct mr_program *const *list, uint32_t n,
                                  struct mr_error *error)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(mr_program_name(list[i]), mr_program_name(list[j])))
                return mr_fail(error, MR_ERR_USAGE,
                               "two programs are called %s (%s and %s); give one of them another "
                               "name: NAME=FILE",
                               mr_program_name(list[i]), mr_program_path(list[j]),
                               mr_program_path(list[i]));
    return MR_OK;
}

/* With several programs a setting need not concern all of them, but one. */
static enum mr_status check_settings(const struct mr_engine_programs *programs, const bool *used,
                                     struct mr_program *const *list, struct mr_error *error)
{
    for (uint32_t i = 0; i < programs->n_settings; i++) {
        const char *setting = programs->settings[i];
        int n = (int)strcspn(setting, ":=");
        bool known = setting[n] != ':';
        for (uint32_t p = 0; p < programs->n_files && !known; p++)
            known = own_setting(setting, mr_program_name(list[p])) != NULL;
        if (!known)
            return mr_fail(error, MR_ERR_USAGE, "--set %s: no program is called %.*s", setting, n,
                           setting);
        if (programs->n_files > 1 && !used[i])
            return mr_fail(error, MR_ERR_PROGRAM,
                           "--set %s: no such program has a parameter of this name", setting);
    }
    return MR_OK;
}

enum mr_status mr_load_programs(const struct mr_engine_programs *programs, FILE *diagnostics,
                                struct mr_program **list, struct mr_error *error)
{
    if (programs->n_files > MR_MAX_PROGRAMS)
        return mr_fail(error, MR_ERR_USAGE, "%u programs are too many: at most %d run at once",
                       programs->n_files, MR_MAX_PROGRAMS);
    bool *used = calloc(programs->n_settings + 1, sizeof *used);
    if (!used)
        return MR_ERR_MEMORY;
    enum mr_status status = MR_OK;
    for (uint32_t i = 0; i < programs->n_files; i++) { /* one run tells what is wrong in all */
        enum mr_status one =
            mr_load_program(programs->files[i], programs, programs->n_files > 1 ? used : NULL,
                            diagnostics, &list[i]);
        if (one && !status) /* what is wrong was printed, at its place in the program */
            status = mr_fail(error, one, "%s", "");
    }
    if (!status)
        status = check_names(list, programs->n_files, error);
    if (!status)
        status = check_settings(programs, used, list, error);
    free(used);
    return status;
}

/* What a thread may still read that was left in a call of a device: it lives as long as the
 * process, and is found here by who looks for lost memory. */
struct kept {
    struct mr_program *programs[MR_MAX_PROGRAMS];
    struct kept *next;
};

static struct kept *_Atomic kept_for_devices;

static void keep(struct mr_program *const *list)
{
    struct kept *kept = malloc(sizeof *kept);

    if (!kept)
        return; /* lost, but not freed */
    memcpy(kept->programs, list, sizeof kept->programs);
    kept->next = atomic_load(&kept_for_devices);
    while (!atomic_compare_exchange_weak(&kept_for_devices, &kept->next, kept))
        ;
}

void mr_load_release(struct mr_program *const *list)
{
    if (mr_devices_hang()) {
        keep(list);
        return;
    }
    for (uint32_t i = 0; i < MR_MAX_PROGRAMS; i++)
        mr_program_release(list[i]);
}

enum mr_status mr_load_plan(struct mr_program *const *list, uint32_t n,
                            const struct mr_plan *before, bool check, FILE *diagnostics,
                            struct mr_plan **plan)
{
    struct mr_diagnostics *messages = mr_diagnostics_new();

    if (!messages)
        return MR_ERR_MEMORY;
    enum mr_status status = check && n == 1 ? mr_analog_plan_alone(list[0], messages, plan)
                                            : mr_analog_plan(list, n, before, messages, plan);
    mr_diagnostics_print(messages, diagnostics, false);
    mr_diagnostics_free(messages);
    return status;
}
