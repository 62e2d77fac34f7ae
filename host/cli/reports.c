/* What `run` writes when it is over, where its options say so. */
#include "cli/cli.h"

#include "base/open.h"
#include "base/replace.h"
#include "millrace/engine.h"

#include <string.h>

/* "-" is standard output. */
static int check(const char *option, const char *path, const char *const *coming)
{
    struct mr_error error = {0};
    int why = strcmp(path, "-") != 0 ? mr_may_write_file(path, coming) : 0;

    if (!why)
        return MR_EXIT_OK;
    mr_fail(&error, MR_ERR_OUTPUT, "%s %s: cannot be written: %s", option, path, mr_open_text(why));
    return mr_cli_fail(&error);
}

int mr_cli_check_reports(const char *summary, const char *tables,
                         const struct mr_engine_config *config)
{
    const char *log = config->log_folder;
    const char *folders[] = {config->extract, strcmp(log, "-") != 0 ? log : NULL, NULL};
    const char *const *coming = mr_coming(folders);
    int one = summary ? check("--json-summary", summary, coming) : MR_EXIT_OK;
    int other = tables ? check("--dump-tables", tables, coming) : MR_EXIT_OK;

    return one ? one : other;
}

int mr_cli_write_reports(struct mr_engine *engine, const char *summary, const char *tables)
{
    struct mr_error error = {0};
    int code = MR_EXIT_OK;

    if (summary && mr_engine_write_summary_json(engine, summary, &error))
        code = mr_cli_fail(&error);
    if (tables && mr_engine_dump_tables(engine, tables, &error)) {
        int other = mr_cli_fail(&error);
        code = code ? code : other;
    }
    return code;
}
