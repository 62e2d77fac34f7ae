/* Constant arguments to configurations: bind() of each called function, its complaints put where
 * the argument stands.
 */
#include "analog/diagnostic.h"
#include "analog/lexer.h"
#include "base/hash.h"
#include "base/open.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void complain(struct compile *compile, const struct expr *call, const struct expr *arg,
                     const struct mr_bind_error *error, enum mr_status status)
{
    const struct mr_function *function = call->u.call.function;
    const struct literal *literal = arg ? analog_literal(compile, arg) : NULL;
    struct mr_where where = literal ? literal->where : call->u.call.where;

    if (literal && literal->raw && error->offset >= 0) {
        uint32_t width;
        uint32_t at =
            analog_raw_offset(literal->raw, literal->raw_len, (uint32_t)error->offset, &width);
        where.column += 1 + at; /* behind the quote */
        where.length = width;
    }
    analog_error(compile, &where, "%s", error->text[0] ? error->text : mr_status_text(status));
    if (arg && arg->kind == EXPR_NAME)
        analog_hint(compile, "the parameter %s is an argument of %s in line %u of %s", arg->u.name,
                    function->name, call->where.line, call->where.file);
    else if (error->offset < 0 || !literal || !literal->raw)
        analog_hint(compile, "refused by %s", function->name);
}

/* Adds what a file holds to a hash over files. One that cannot be read counts as empty: bind() will
 * complain about it; so does one that would have to be waited for. */
static void add_contents(const char *path, uint8_t contents[16])
{
    int fd = mr_open_read(path);
    struct stat there;
    bool regular = fd >= 0 && !fstat(fd, &there) && S_ISREG(there.st_mode);
    FILE *file = regular ? fdopen(fd, "rb") : NULL;
    uint8_t block[16 + 4096];
    size_t n = 0;

    memset(block, 0, 16);
    do {
        memcpy(block, contents, 16);
        n = file ? fread(block + 16, 1, sizeof block - 16, file) : 0;
        mr_hash128_public(block, 16 + n, contents);
    } while (n);
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
}

static void bind_call(struct compile *compile, struct mr_op *op, const struct expr *call)
{
    const struct mr_function *function = op->function;
    const struct expr *args[8] = {NULL};
    struct mr_constant constants[8] = {{.type = MR_TYPE_ANY}};
    struct mr_bind_error error = {.offset = -1};
    uint32_t n = 0, i = 0, files = 0;
    uint8_t contents[16] = {0};
    void *config = NULL;

    if (function->context_bytes > 4096) {
        analog_error(compile, &op->where, "%s wants %u bytes of state per key, 4096 are allowed",
                     function->name, function->context_bytes);
        return;
    }
    if (!function->bind)
        return;
    for (const struct expr *arg = call->u.call.args; arg; arg = arg->next, i++) {
        if (i + function->n_constant < function->n_args)
            continue;
        const struct literal *literal = analog_literal(compile, arg);
        if (!literal)
            return; /* cannot be: types saw to it */
        constants[n] = literal->constant;
        constants[n].type = op->args[i].type; /* an int may have become a real */
        constants[n].value = op->args[i].constant;
        if (literal->constant.is_file) {
            files |= 1u << i;
            add_contents(constants[n].value.b.ptr, contents);
        }
        args[n++] = arg;
    }
    enum mr_status status = function->bind(constants, n, &config, &error);
    if (status != MR_OK) {
        error.text[sizeof error.text - 1] = '\0';
        complain(compile, call, error.argument < n ? args[error.argument] : NULL, &error, status);
        return;
    }
    op->bound = analog_bound(compile, function, config);
    if (!op->bound)
        return;
    op->config = config;
    op->bound->file_args = files;
    memcpy(op->bound->contents, contents, sizeof contents);
}

static void unbind_rule(struct rule *rule)
{
    for (uint32_t i = 0; rule->code.ops && i < rule->code.n_ops; i++) {
        struct mr_op *op = &rule->code.ops[i];
        analog_bound_release(op->bound);
        op->bound = NULL;
        op->config = NULL;
    }
}

void analog_bind(struct compile *compile)
{
    for (struct component *c = compile->program.components; c; c = c->next) {
        for (struct rule *rule = c->rules; rule; rule = rule->next) {
            for (uint32_t i = 0; rule->code.ops && i < rule->code.n_ops; i++) {
                if (rule->code.ops[i].kind == MR_OP_CALL && !analog_enough(compile))
                    bind_call(compile, &rule->code.ops[i], rule->sources[i]);
            }
            if (!rule->reached)
                unbind_rule(rule); /* its errors count, but it will not run */
        }
    }
}

void analog_unbind(struct compile *compile)
{
    for (struct component *c = compile->program.components; c; c = c->next)
        for (struct rule *rule = c->rules; rule; rule = rule->next)
            unbind_rule(rule);
}
