/* Tokens of ANALOG. A lexer is a plain value: copying it looks ahead. */
#ifndef MR_ANALOG_LEXER_H
#define MR_ANALOG_LEXER_H

#include "analog/compile.h"

#define TOKEN_LIST(X)                                                                              \
    X(TOK_END, "the end of the file")                                                              \
    X(TOK_NAME, "a name")         /* begins with a lower-case letter */                            \
    X(TOK_VARIABLE, "a variable") /* begins with an upper-case letter or _ */                      \
    X(TOK_WILDCARD, "_")                                                                           \
    X(TOK_INT, "a number")                                                                         \
    X(TOK_REAL, "a number")                                                                        \
    X(TOK_STRING, "a string")                                                                      \
    X(TOK_FILE, "a file")     /* from analog_lex_path() only */                                    \
    X(TOK_DIRECTIVE, "#")     /* #name at the beginning of a line */                               \
    X(TOK_BAD, "a bad token") /* reported */                                                       \
    X(TOK_LPAREN, "(")                                                                             \
    X(TOK_RPAREN, ")")                                                                             \
    X(TOK_LBRACE, "{")                                                                             \
    X(TOK_RBRACE, "}")                                                                             \
    X(TOK_LBRACKET, "[")                                                                           \
    X(TOK_RBRACKET, "]")                                                                           \
    X(TOK_COMMA, ",")                                                                              \
    X(TOK_DOT, ".")                                                                                \
    X(TOK_COLON, ":")                                                                              \
    X(TOK_AT, "@")                                                                                 \
    X(TOK_IMPLIES, ":-")                                                                           \
    X(TOK_ASSIGN, ":=")                                                                            \
    X(TOK_SINGLE, "=")                                                                             \
    X(TOK_EQ, "==")                                                                                \
    X(TOK_NE, "!=")                                                                                \
    X(TOK_LT, "<")                                                                                 \
    X(TOK_LE, "<=")                                                                                \
    X(TOK_GT, ">")                                                                                 \
    X(TOK_GE, ">=")                                                                                \
    X(TOK_SHL, "<<")                                                                               \
    X(TOK_SHR, ">>")                                                                               \
    X(TOK_PLUS, "+")                                                                               \
    X(TOK_MINUS, "-")                                                                              \
    X(TOK_STAR, "*")                                                                               \
    X(TOK_SLASH, "/")                                                                              \
    X(TOK_PERCENT, "%")                                                                            \
    X(TOK_AND, "&")                                                                                \
    X(TOK_OR, "|")                                                                                 \
    X(TOK_XOR, "^")                                                                                \
    X(TOK_TILDE, "~")                                                                              \
    X(TOK_NOT, "!")                                                                                \
    X(TOK_ANDAND, "&&")                                                                            \
    X(TOK_OROR, "||")

enum token_kind {
#define X(name, text) name,
    TOKEN_LIST(X)
#undef X
};

struct token {
    enum token_kind kind;
    struct mr_where where;
    const char *text; /* in the source */
    uint32_t len;
    bool first_in_line;
    int64_t i;
    double d;
};

struct lexer {
    struct compile *compile;
    const struct source *source;
    size_t at;
    size_t line_start;
    uint32_t line;
    bool line_begun; /* a token of this line was given */
    bool muted;      /* looking ahead: report nothing */
};

void analog_lex_start(struct lexer *lexer, struct compile *compile, const struct source *source);
struct token analog_lex(struct lexer *lexer);

/* Right behind a TOK_AT: the path that a file constant names without quotes. TOK_BAD: none. */
struct token analog_lex_path(struct lexer *lexer);

/* Is there another token in this line? */
bool analog_lex_same_line(const struct lexer *lexer);

const char *analog_token_text(enum token_kind kind);

/* The bytes that a string literal stands for, NUL-terminated, in the plan's memory. Faults in it
 * were reported when it was lexed. */
char *analog_unescape(struct compile *compile, const char *raw, uint32_t raw_len, uint32_t *len);

/* Where in `raw` the byte with this offset of the unescaped string is written. */
uint32_t analog_raw_offset(const char *raw, uint32_t raw_len, uint32_t offset, uint32_t *raw_width);

#endif
