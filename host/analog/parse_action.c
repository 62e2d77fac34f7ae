/* Parsing alarms: alarm(PREDICATE, severity(2), message("..."), syslog, exec("file", "argument"),
 * limit(TIMES, SECONDS), timeout(SECONDS)). */
#include "analog/parser.h"

#include <string.h>

static const char usage[] =
    "write alarm(PREDICATE, severity(1), message(\"...\"), syslog, "
    "exec(\"file\", \"argument\"), limit(TIMES, SECONDS), timeout(SECONDS)).";

static bool take_number(struct parser *parser, const char *what, uint32_t most, uint32_t *number)
{
    struct token token = parser->token;

    if (!analog_expect(parser, TOK_INT, what, usage))
        return false;
    if (token.i >= 1 && token.i <= most) {
        *number = (uint32_t)token.i;
        return true;
    }
    analog_error(parser->compile, &token.where, "%s is a number from 1 to %u", what, most);
    return true;
}

/* A string without a byte 0: it becomes an argument of a command, or a message. */
static bool take_string(struct parser *parser, const char *what, const char **text)
{
    struct token token = parser->token;
    uint32_t len = 0;

    if (!analog_expect(parser, TOK_STRING, what, usage))
        return false;
    *text = analog_unescape(parser->compile, token.text + 1, token.len - 2, &len);
    if (*text && memchr(*text, '\0', len)) {
        analog_error(parser->compile, &token.where, "%s cannot hold a byte 0", what);
        *text = "";
    }
    return *text != NULL;
}

static bool take_command(struct parser *parser, struct mr_plan_alarm *alarm)
{
    if (alarm->n_command) {
        analog_error(parser->compile, &parser->token.where, "an alarm runs one command");
        alarm->n_command = 0;
    }
    struct token command = parser->token;
    do {
        if (alarm->n_command == MR_MAX_COMMAND) {
            analog_error(parser->compile, &parser->token.where,
                         "a command has at most %d arguments", MR_MAX_COMMAND);
            return false;
        }
        if (!take_string(parser, "the command or an argument of it",
                         &alarm->command[alarm->n_command]))
            return false;
        if (!alarm->n_command && command.len == 2) { /* its quotes */
            analog_error(parser->compile, &command.where, "there is no command without a name");
            analog_hint(parser->compile, "write exec(\"file\", \"argument\"), e.g. "
                                         "exec(\"/usr/bin/logger\", \"-t\", \"millrace\")");
        }
        alarm->n_command++;
    } while (analog_accept(parser, TOK_COMMA));
    return true;
}

static bool parse_option(struct parser *parser, struct mr_plan_alarm *alarm)
{
    static const char *const names[] = {"severity", "message", "exec",
                                        "limit",    "timeout", "syslog"};
    struct token token = parser->token;
    char name[16] = "";
    bool good = true;

    if (token.kind != TOK_NAME) {
        analog_unexpected(parser, "what the alarm does", usage);
        return false;
    }
    if (token.len < sizeof name)
        memcpy(name, token.text, token.len);
    analog_advance(parser);
    if (!strcmp(name, "syslog")) {
        alarm->syslog = true;
        return true;
    }
    struct nearest nearest = {.wanted = name};
    bool known = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        analog_nearest(&nearest, names[i]);
        known |= !strcmp(names[i], name);
    }
    if (!known) {
        analog_error(parser->compile, &token.where, "an alarm has no %.*s",
                     (int)(token.len < 60 ? token.len : 60), token.text);
        analog_hint(parser->compile, nearest.name ? "did you mean %s?" : "%s",
                    nearest.name ? nearest.name : usage);
        return false;
    }
    if (!analog_expect(parser, TOK_LPAREN, "(", usage))
        return false;
    if (!strcmp(name, "severity"))
        good = take_number(parser, "the severity", 255, &alarm->severity);
    else if (!strcmp(name, "message"))
        good = take_string(parser, "the message", &alarm->message);
    else if (!strcmp(name, "exec"))
        good = take_command(parser, alarm);
    else if (!strcmp(name, "timeout"))
        good = take_number(parser, "the time a command may take", 3600, &alarm->timeout_s);
    else
        good = take_number(parser, "how often", 1000000000, &alarm->limit) &&
               analog_expect(parser, TOK_COMMA, ", and in how many seconds", usage) &&
               take_number(parser, "in how many seconds", 1000000000, &alarm->limit_s);
    return good && analog_expect(parser, TOK_RPAREN, ")", usage);
}

bool analog_is_alarm(const struct parser *parser)
{
    struct lexer ahead = parser->lexer;

    ahead.muted = true;
    return analog_token_is(parser, "alarm") && analog_lex(&ahead).kind == TOK_LPAREN &&
           analog_lex(&ahead).kind == TOK_NAME;
}

static bool parse_alarm(struct parser *parser, struct alarm *alarm)
{
    analog_advance(parser);
    if (!analog_expect(parser, TOK_LPAREN, "( behind alarm", usage))
        return false;
    alarm->where = parser->token.where;
    alarm->name = parser->token.kind == TOK_NAME ? analog_token_copy(parser) : NULL;
    if (!analog_expect(parser, TOK_NAME, "the name of a predicate", usage) || !alarm->name)
        return false;
    while (analog_accept(parser, TOK_COMMA))
        if (!parse_option(parser, alarm->plan))
            return false;
    return analog_expect(parser, TOK_RPAREN, ") or , in an alarm", usage);
}

void analog_parse_alarm(struct parser *parser)
{
    struct compile *compile = parser->compile;
    struct alarm *alarm = analog_scratch(compile, sizeof *alarm);
    struct alarm **next = &compile->program.alarms;

    if (!alarm || !(alarm->plan = analog_keep(compile, sizeof *alarm->plan)))
        return;
    alarm->plan->severity = 3;
    alarm->plan->timeout_s = 10;
    if (!parse_alarm(parser, alarm)) {
        compile->incomplete = true;
        analog_skip_statement(parser);
        return;
    }
    analog_end_statement(parser, "alarm");
    for (; *next; next = &(*next)->next) {
        if (strcmp((*next)->name, alarm->name) != 0)
            continue;
        analog_error(compile, &alarm->where, "there is an alarm for %s already, in line %u",
                     alarm->name, (*next)->where.line);
        return;
    }
    if (compile->program.n_alarms == MAX_STATEMENTS) {
        analog_too_many(compile, &alarm->where, LIMIT_ALARMS);
        return;
    }
    compile->program.n_alarms++;
    alarm->plan->message = alarm->plan->message ? alarm->plan->message : alarm->name;
    *next = alarm;
}
