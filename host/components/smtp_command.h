/* One SMTP command line, or the first line of a reply, taken apart. Pure functions. */
#ifndef MR_COMPONENTS_SMTP_COMMAND_H
#define MR_COMPONENTS_SMTP_COMMAND_H

#include "smtp_parser.h"

enum mr_smtp_verb {
    MR_SMTP_UNKNOWN, /* no verb we know: the server answers it nevertheless */
    MR_SMTP_EHLO,    /* and HELO */
    MR_SMTP_LHLO,
    MR_SMTP_MAIL,
    MR_SMTP_RCPT,
    MR_SMTP_DATA,
    MR_SMTP_BDAT,
    MR_SMTP_BDAT_LAST,
    MR_SMTP_BDAT_BAD, /* no size, a bad one, or junk behind it: no chunk follows */
    MR_SMTP_RSET,
    MR_SMTP_QUIT,
    MR_SMTP_AUTH,
    MR_SMTP_STARTTLS,
    MR_SMTP_OTHER, /* NOOP, VRFY, HELP, XCLIENT ...: nothing depends on it */
    MR_SMTP_FINAL  /* no command: the end of the data, which is answered like one */
};

struct mr_smtp_command {
    enum mr_smtp_verb verb;
    bool well_formed; /* nothing but SMTP looks like that: see .c for what is asked */
    bool utf8;        /* MAIL ... SMTPUTF8 */
    bool odd;         /* NUL, VT, FF or CR in it: only the reply tells what it was taken for */
    bool huge;        /* BDAT_BAD: the size is a number, but over 2^40 */
    struct mr_smtp_text text; /* name of HELO, path of MAIL and RCPT; points into the line */
    uint64_t size;            /* BDAT's, MAIL's SIZE=, else 0 */
};

/* `line` is without its end. */
void mr_smtp_parse_command(const uint8_t *line, uint32_t len, struct mr_smtp_command *command);

/* Nothing but SMTP has it. */
bool mr_smtp_is_evidence(const struct mr_smtp_command *command);

/* The code of a reply line, or -1; *more: it is not the last line of its reply. */
int mr_smtp_parse_reply(const uint8_t *line, uint32_t len, bool *more);

/* A code that RFC 5321 or an extension defines. */
bool mr_smtp_known_code(int code);

#endif
