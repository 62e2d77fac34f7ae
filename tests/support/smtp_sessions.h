/* The sessions that the tests of the SMTP parser share: what passes, and what must come of it.
 * Long because it is one table. */
#ifndef MR_TESTS_SMTP_SESSIONS_H
#define MR_TESTS_SMTP_SESSIONS_H

#include "smtp_script.h"

struct smtp_session_case {
    const char *name;
    const char *script;
    const char *expected;
    unsigned flags; /* enum mr_smtp_open_flag */
    bool timing;    /* has gaps, or one side only: how the directions interleave matters */
    bool no_cuts;   /* long: not every single cut is tried */
    struct mr_smtp_limits limits; /* all zero: the defaults */
};

#define HELLO                                                                                      \
    "S: 220 mx.example ESMTP\n"                                                                    \
    "C: EHLO client.example\n"                                                                     \
    "S: 250-mx.example\n"                                                                          \
    "S: 250-PIPELINING\n"                                                                          \
    "S: 250 CHUNKING\n"
#define ENVELOPE                                                                                   \
    "C: MAIL FROM:<a@x>\n"                                                                         \
    "S: 250 2.1.0 Ok\n"                                                                            \
    "C: RCPT TO:<b@y>\n"                                                                           \
    "S: 250 2.1.5 Ok\n"
#define DATA                                                                                       \
    "C: DATA\n"                                                                                    \
    "S: 354 go\n"
#define BYE                                                                                        \
    "C: QUIT\n"                                                                                    \
    "S: 221 bye\n"
#define TX "helo=client.example from=<a@x> to=<b@y>"

/* A command between two chunks that the server refuses: step by step, and pipelined. */
#define REFUSED_BETWEEN_CHUNKS(what, command, refusal, told)                                       \
    {what " refused between chunks does not end the mail",                                         \
     HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\nC! " command "\\r\\n\nS: " refusal "\n"         \
                    "C! BDAT 2 LAST\\r\\ncd\nS: 250 ok\n" BYE,                                     \
     "mail bdat 4: abcd\n"                                                                         \
     "tx 0 accepted " TX " reply=250 bytes=4 mail=1\n" told},                                      \
    {                                                                                              \
        what " refused between chunks, all of it pipelined",                                       \
            HELLO                                                                                  \
            "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2\\r\\nab" command "\\r\\n\n"         \
            "C! BDAT 2 LAST\\r\\ncdMAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 1 LAST\\r\\ne\n"   \
            "S! 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n" refusal "\\r\\n250 ok\\r\\n\n"               \
            "S! 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n\n" BYE,                                       \
            "mail bdat 4: abcd\n"                                                                  \
            "mail bdat 1: e\n"                                                                     \
            "tx 0 accepted " TX " reply=250 bytes=4 mail=1\n"                                      \
            "tx 1 accepted " TX " reply=250 bytes=1 mail=2\n" told                                 \
    }

/* Mails whose first line is a command; something was lost before. */
#define HIDING_MAIL(what, lost, told)                                                              \
    {                                                                                              \
        "mails that begin with a command, " what,                                                  \
            HELLO lost ENVELOPE DATA "C: RSET\nC: From: a\nC: .\nS: 250 ok\n" ENVELOPE DATA        \
                                     "C: MAIL FROM:<z@z>\nC: From: b\nC: .\nS: 250 ok\n" BYE,      \
            "mail 15: RSET\\r\\nFrom: a\\r\\n\n"                                                   \
            "mail 26: MAIL FROM:<z@z>\\r\\nFrom: b\\r\\n\n"                                        \
            "tx 0 accepted " TX " reply=250 bytes=15 mail=1\n"                                     \
            "tx 1 accepted " TX " reply=250 bytes=26 mail=2\n" told,                               \
            .timing = true                                                                         \
    }

/* DATA is refused, and the client goes on with a command that says nothing. */
#define REFUSED_BEHIND_HOLE(what, command)                                                         \
    {                                                                                              \
        "behind a hole, DATA is refused, and " what " comes",                                      \
            HELLO "C! NOOP \nC~ 100\nC! aa\\r\\n\nC: DATA\nS: 503 no\nC: " command                 \
                  "\nS: 502 no\n" ENVELOPE "C! BDAT 3 LAST\\r\\none\nS: 250 ok\n" ENVELOPE         \
                  "C! BDAT 3 LAST\\r\\ntwo\nS: 250 ok\n" BYE,                                      \
            "mail bdat 3: one\n"                                                                   \
            "mail bdat 3: two\n"                                                                   \
            "tx 1 accepted " TX " reply=250 bytes=3 mail=1\n"                                      \
            "tx 2 accepted " TX " reply=250 bytes=3 mail=2\n",                                     \
            .timing = true                                                                         \
    }

#define PIPELINED_CHUNK "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 3 LAST\\r\\none\n"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* what is left out is zero */
static const struct smtp_session_case smtp_sessions[] = {
    {
        "one mail",
        HELLO ENVELOPE DATA "C: Subject: x\nC: \nC: hello\nC: .\nS: 250 queued\n" BYE,
        "mail 21: Subject: x\\r\\n\\r\\nhello\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=21 mail=1\n",
    },
    {
        "two mails in one session",
        HELLO ENVELOPE DATA
        "C: one\nC: .\nS: 250 queued\nC: mail from: <c@x> size=99\nS: 250 ok\n"
        "C: rcpt to:<d@y>\nS: 250 ok\nC: rcpt to:<e@y> NOTIFY=NEVER\nS: 251 ok\n" DATA
        "C: two\nC: .\nS: 250 queued\n" BYE,
        "mail 5: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=5 mail=1\n"
        "tx 1 accepted helo=client.example from=<c@x> to=<d@y> to=<e@y> reply=250 bytes=5 mail=2\n",
    },
    {
        "servers in C take a command with NUL, VT or FF around it",
        HELLO "C! MAIL FROM:<a@x>\\0\\r\\n\nS: 250 ok\nC! \\x0bRCPT TO:<b@y>\\r\\n\nS: 250 ok\n"
              "C! DATA\\0\\r\\n\nS: 354 go\nC: hello\nC: .\nS: 250 queued\n"
              "C: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 ok\n"
              "C! \\x0cDATA\\r\\n\nS: 354 go\nC: two\nC: .\nS: 250 queued\n" BYE,
        "mail 7: hello\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=7 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=5 mail=2\n",
    },
    {
        "clients go by the first digit of a reply",
        HELLO "C: AUTH PLAIN\nS: 330 more\nC: QUIT\nS: 235 you are in\n" ENVELOPE
              "C: DATA\nS: 350 go\nC: hello\nC: .\nS: 250 queued\n" BYE,
        "mail 7: hello\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=7 mail=1\n"
        "anomaly INVALID_REPLY\n",
    },
    {
        "empty mail",
        HELLO ENVELOPE DATA "C: .\nS: 250 queued\n",
        "mail 0: \n"
        "tx 0 accepted " TX " reply=250 bytes=0 mail=1\n",
    },
    {
        "dots are unstuffed, only at the beginning of lines",
        HELLO ENVELOPE DATA "C: ..\nC: ..a\nC: .b\nC: c..d\nC: ...\nC: .\nS: 250 ok\n",
        "mail 20: .\\r\\n.a\\r\\nb\\r\\nc..d\\r\\n..\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=20 mail=1\n",
    },
    {
        "pipelined envelope, all answers at once",
        HELLO "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nRCPT TO:<c@y>\\r\\nDATA\\r\\n\n"
              "S! 250 ok\\r\\n250 ok\\r\\n550 no\\r\\n354 go\\r\\n\n"
              "C! hi\\r\\n.\\r\\nQUIT\\r\\n\n"
              "S! 250 ok\\r\\n221 bye\\r\\n\n",
        "mail 4: hi\\r\\n\n"
        "tx 0 accepted " TX " no=<c@y> reply=250 bytes=4 mail=1\n",
    },
    {
        "the client does not wait for the 354",
        HELLO "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\nhi\\r\\n.\\r\\nQUIT\\r\\n\n"
              "S! 250 ok\\r\\n250 ok\\r\\n354 go\\r\\n250 ok\\r\\n221 bye\\r\\n\n",
        "mail 4: hi\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=4 mail=1\n",
    },
    {
        "the client does not wait for anything, the server refuses DATA",
        "C! EHLO client.example\\r\\nMAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\n\n"
        "C! Subject: x\\r\\n.\\r\\nQUIT\\r\\n\n"
        "S! 220 mx ESMTP\\r\\n250 mx\\r\\n250 ok\\r\\n550 no\\r\\n554 no valid recipients\\r\\n\n"
        "S! 500 what\\r\\n500 what\\r\\n221 bye\\r\\n\n",
        "tx 0 rejected helo=client.example from=<a@x> no=<b@y> reply=554\n"
        "anomaly DATA_COMMAND_REJECTED\n"
        "anomaly INVALID_PIPELINED_SEQUENCE\n",
    },
    {
        "DATA is refused, then tried again",
        HELLO ENVELOPE "C: DATA\nS: 451 later\nC: DATA\nS: 354 go\nC: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly DATA_COMMAND_REJECTED\n",
    },
    {
        "DATA without an envelope, then EHLO and a mail",
        HELLO "C: DATA\nS: 503 need RCPT\nC: EHLO client.example\nS: 250 mx\n" ENVELOPE DATA
              "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 rejected helo=client.example reply=503\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly DUPLICATE_FIELDS\n"
        "anomaly DATA_COMMAND_REJECTED\n",
    },
    {
        "the sender is refused, the next one is not",
        HELLO "C: MAIL FROM:<spam@x>\nS: 550 5.7.1 go away\n" ENVELOPE DATA
              "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 rejected helo=client.example from=<spam@x> reply=550\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "all recipients are refused",
        HELLO "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 550-no\nS: 550 such user\n"
              "C: RSET\nS: 250 ok\n" BYE,
        "tx 0 rejected helo=client.example from=<> no=<b@y> reply=550\n",
    },
    {
        "the mail is refused after its data",
        HELLO ENVELOPE DATA "C: spam\nC: .\nS: 554 5.7.1 spam\n" BYE,
        "mail 6: spam\\r\\n\n"
        "tx 0 rejected " TX " reply=554 bytes=6 mail=1\n",
    },
    {
        "the mail is refused before its data end",
        HELLO ENVELOPE DATA "C: big\nS: 552 too big\nC: bigger\nC: .\n" BYE,
        "mail 13: big\\r\\nbigger\\r\\n\n"
        "tx 0 rejected " TX " reply=552 bytes=13 mail=1\n",
    },
    {
        "RSET, EHLO in the middle, NOOP and VRFY",
        HELLO ENVELOPE "C: RSET\nS: 250 ok\nC: NOOP\nS: 250 ok\nC: VRFY x\nS: 252 maybe\n"
                       "C: MAIL FROM:<c@x>\nS: 250 ok\nC: EHLO client.example\nS: 250 mx\n" BYE,
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 aborted helo=client.example from=<c@x> reply=250\n"
        "anomaly DUPLICATE_FIELDS\n",
    },
    {
        "an EHLO that is refused leaves the transaction alone",
        HELLO
        "C: MAIL FROM:<a@x>\nS: 250 ok\nC: EHLO\nS: 501 syntax\nC: RCPT TO:<b@y>\nS: 250 ok\n" DATA
        "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly DUPLICATE_FIELDS\n",
    },
    {
        "EHLO is not known, HELO is",
        "S: 220 mx SMTP\nC: EHLO c\nS: 500 what\nC: HELO client.example\nS: 250 mx\n" ENVELOPE DATA
        "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "MAIL twice",
        HELLO "C: MAIL FROM:<a@x>\nS: 250 ok\nC: MAIL FROM:<c@x>\nS: 503 nested\n"
              "C: RCPT TO:<b@y>\nS: 250 ok\n" DATA "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly DUPLICATE_FIELDS\n",
    },
    {
        "paths as people write them",
        HELLO "C:   mail   from : bare@x SIZE=10\nS: 250 ok\n"
              "C: RCPT TO:<\"a b> c\"@y> X=1\nS: 250 ok\nC: rcpt to:<@r,@s:u@z>\nS: 250 ok\n"
              "C: RCPT TO:<open\nS: 501 no\nC: RCPT\nS: 501 no\n" DATA "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted helo=client.example from=bare@x to=<\"a b> c\"@y> to=<@r,@s:u@z> no=<open "
        "no= reply=250 bytes=3 mail=1\n",
    },
    {
        "SMTPUTF8",
        HELLO "C! MAIL FROM:<\\xc3\\xa9@x> SMTPUTF8 BODY=8BITMIME\\r\\n\nS: 250 ok\n"
              "C: RCPT TO:<b@y>\nS: 250 ok\n" DATA "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted helo=client.example from=<\\xc3\\xa9@x> to=<b@y> utf8 reply=250 bytes=3 "
        "mail=1\n",
    },
    {
        "BDAT in one chunk with anything in it",
        HELLO ENVELOPE "C! BDAT 14 LAST\\r\\n\\r\\n.\\r\\n\\n.\\n\\0MAIL\\xff\nS: 250 ok\n" BYE,
        "mail bdat 14: \\r\\n.\\r\\n\\n.\\n\\x00MAIL\\xff\n"
        "tx 0 accepted " TX " reply=250 bytes=14 mail=1\n",
    },
    {
        "BDAT in chunks, two mails pipelined",
        HELLO
        "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 5\\r\\nQUIT\\nBDAT 4 LAST\\r\\nend\\n\n"
        "C! MAIL FROM:<c@x>\\r\\nRCPT TO:<d@y>\\r\\nBDAT 2 last\\r\\nokQUIT\\r\\n\n"
        "S! 250 ok\\r\\n250 ok\\r\\n250 5 bytes\\r\\n250 queued\\r\\n\n"
        "S! 250 ok\\r\\n250 ok\\r\\n250 queued\\r\\n221 bye\\r\\n\n",
        "mail bdat 9: QUIT\\nend\\n\n"
        "mail bdat 2: ok\n"
        "tx 0 accepted " TX " reply=250 bytes=9 mail=1\n"
        "tx 1 accepted helo=client.example from=<c@x> to=<d@y> reply=250 bytes=2 mail=2\n",
    },
    {
        "BDAT 0 LAST alone, and behind a chunk",
        HELLO ENVELOPE "C: BDAT 0 LAST\nS: 250 ok\n" ENVELOPE
                       "C! BDAT 3\\r\\nabc\nS: 250 ok\nC: BDAT 0 LAST\nS: 250 ok\n",
        "mail bdat 0: \n"
        "mail bdat 3: abc\n"
        "tx 0 accepted " TX " reply=250 bytes=0 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n",
    },
    {
        "BDAT with junk is answered and has no chunk",
        HELLO "C! BDAT 5 X\\r\\nMAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\n\n"
              "S! 501 syntax\\r\\n250 ok\\r\\n250 ok\\r\\n354 go\\r\\n\n"
              "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly INVALID_BDAT\n",
    },
    {
        "BDAT sizes that nobody means",
        HELLO ENVELOPE "C! BDAT 15555555557777777777 LAST\\r\\r\\n\nS: 521 no\n"
                       "C: BDAT 184467440737095516150 LAST\nS: 521 no\n"
                       "C: BDAT -1 LAST\nS: 521 no\nC: BDAT\nS: 521 no\n"
                       "C: BDAT 1 LAST X\nS: 521 no\nC: BDAT 1LAST\nS: 521 no\n" BYE,
        "tx 0 aborted " TX " reply=250\n"
        "anomaly INVALID_BDAT\n"
        "anomaly BDAT_CHUNK_LEN_EXCEEDED\n",
    },
    {
        "BDAT is refused, its bytes are chunk nevertheless",
        HELLO ENVELOPE "C! BDAT 6\\r\\nRSET\\r\\n\nS: 552 too big\nC: RSET\nS: 250 ok\n" BYE,
        "mail bdat incomplete 6: RSET\\r\\n\n"
        "tx 0 rejected " TX " reply=552 bytes=6 mail=1\n",
    },
    {
        "BDAT to a server that does not know it: what stands behind it are commands",
        "S: 220 mx SMTP\nC: EHLO client.example\nS: 250-mx\nS: 250 8BITMIME\n"
        "C! BDAT 1000 LAST\\r\\nMAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\n\n"
        "S! 502 what\\r\\n250 ok\\r\\n250 ok\\r\\n354 go\\r\\n\n"
        "C: evil\nC: .\nS: 250 ok\n" BYE,
        "mail 6: evil\\r\\n\n"
        "tx 0 rejected helo=client.example reply=502\n"
        "tx 1 accepted " TX " reply=250 bytes=6 mail=1\n"
        "anomaly INVALID_BDAT\n",
    },
    {
        "BDAT to a server that knows it and does not say so",
        "S: 220 mx SMTP\nC: EHLO client.example\nS: 250 mx\n" ENVELOPE
        "C! BDAT 6\\r\\nRSET\\r\\nBDAT 4 LAST\\r\\nabcdRSET\\r\\n\n"
        "S! 250 6 octets\\r\\n250 queued\\r\\n250 reset\\r\\n\n" BYE,
        "mail bdat 10: RSET\\r\\nabcd\n"
        "tx 0 accepted " TX " reply=250 bytes=10 mail=1\n",
    },
    {
        "a BDAT mail that EHLO, MAIL or DATA cuts off",
        HELLO ENVELOPE
        "C! BDAT 2\\r\\nab\nS: 250 ok\nC: EHLO client.example\nS: 250 mx\n" ENVELOPE
        "C! BDAT 2\\r\\ncd\nS: 250 ok\nC: DATA\nS: 503 BDAT before\nC: RSET\nS: 250 ok\n" BYE,
        "mail bdat incomplete 2: ab\n"
        "mail bdat incomplete 2: cd\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 rejected " TX " reply=503 bytes=2 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n"
        "anomaly DATA_COMMAND_REJECTED\n"
        "anomaly UNPARSABLE_CONTENT\n",
    },
    {
        "a BDAT mail, and DATA granted behind it",
        HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\n" DATA "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail bdat incomplete 2: ab\n"
        "mail 3: x\\r\\n\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n"
        "anomaly UNPARSABLE_CONTENT\n",
    },
    {
        "BDAT without MAIL, and MAIL granted behind it: two transactions",
        HELLO "C! BDAT 2\\r\\nab\nS: 250 ok\n" ENVELOPE "C! BDAT 2 LAST\\r\\ncd\nS: 250 ok\n" BYE,
        "mail bdat incomplete 2: ab\n"
        "mail bdat 2: cd\n"
        "tx 0 aborted helo=client.example reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=2 mail=2\n",
    },
    {
        "MAIL refused, a chunk taken nevertheless, and MAIL granted behind it",
        HELLO "C: MAIL FROM:<a@x>\nS: 550 no\nC! BDAT 2\\r\\nab\nS: 250 ok\n" ENVELOPE
              "C! BDAT 2 LAST\\r\\ncd\nS: 250 ok\n" BYE,
        "mail bdat incomplete 2: ab\n"
        "mail bdat 2: cd\n"
        "tx 0 rejected helo=client.example from=<a@x> reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=2 mail=2\n",
    },
    {
        "EHLO in a transaction, and RCPT and DATA without MAIL behind it",
        HELLO "C: MAIL FROM:<a@x>\nS: 250 ok\nC: EHLO client.example\nS: 250 mx\n"
              "C: RCPT TO:<b@y>\nS: 503 MAIL first\nC: DATA\nS: 503 RCPT first\n" BYE,
        "tx 0 aborted helo=client.example from=<a@x> reply=250\n"
        "tx 1 rejected helo=client.example no=<b@y> reply=503\n"
        "anomaly DUPLICATE_FIELDS\n"
        "anomaly DATA_COMMAND_REJECTED\n",
    },
    {
        "EHLO in a transaction, and a server that takes mails without MAIL, by BDAT and DATA",
        HELLO ENVELOPE
        "C! EHLO client.example\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2 LAST\\r\\nabRCPT TO:<b@y>\\r\\n\n"
        "C! EHLO client.example\\r\\nRCPT TO:<c@y>\\r\\nDATA\\r\\nx\\r\\n.\\r\\n\n"
        "S! 250 mx\\r\\n250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n\n"
        "S! 250 mx\\r\\n250 ok\\r\\n354 go\\r\\n250 ok\\r\\n\n" BYE,
        "mail bdat 2: ab\n"
        "mail 3: x\\r\\n\n"
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 accepted helo=client.example to=<b@y> reply=250 bytes=2 mail=1\n"
        "tx 2 aborted helo=client.example to=<b@y> reply=250\n"
        "tx 3 accepted helo=client.example to=<c@y> reply=250 bytes=3 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n"
        "anomaly DUPLICATE_FIELDS\n",
    },
    {
        "EHLO refused in a transaction that goes on by BDAT, all of it pipelined",
        HELLO "C! MAIL FROM:<a@x>\\r\\nEHLO\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2 LAST\\r\\nab\n"
              "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2 LAST\\r\\ncd\n"
              "S! 250 ok\\r\\n501 no\\r\\n250 ok\\r\\n250 ok\\r\\n\n"
              "S! 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n\n" BYE,
        "mail bdat 2: ab\n"
        "mail bdat 2: cd\n"
        "tx 0 accepted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=2 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n",
    },
    {
        "only the client is seen: EHLO in a transaction, and BDAT without MAIL behind it",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: EHLO client.example\n"
        "C: RCPT TO:<b@y>\nC! BDAT 2 LAST\\r\\nab\nC: QUIT\n",
        "mail bdat 2: ab\n"
        "tx 0 aborted helo=client.example from=<a@x>\n"
        "tx 1 unanswered helo=client.example to=<b@y> bytes=2 mail=1\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "an odd BDAT that the server does not take has no chunk",
        HELLO "C! \\0BDAT 100000 LAST\\r\\n\nS: 502 what\n" ENVELOPE DATA
              "C: one\nC: .\nS: 250 ok\nC! \\x0bBDAT 100000 LAST\\r\\n\nS: 500 what\n" ENVELOPE DATA
              "C: two\nC: .\nS: 250 ok\nC! BDAT 100000\\x0cLAST\\r\\n\nS: 501 what\n" ENVELOPE DATA
              "C: six\nC: .\nS: 250 ok\n" BYE,
        "mail 5: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "mail 5: six\\r\\n\n"
        "tx 0 rejected helo=client.example reply=502\n"
        "tx 1 accepted " TX " reply=250 bytes=5 mail=1\n"
        "tx 2 rejected helo=client.example reply=500\n"
        "tx 3 accepted " TX " reply=250 bytes=5 mail=2\n"
        "tx 4 rejected helo=client.example reply=501\n"
        "tx 5 accepted " TX " reply=250 bytes=5 mail=3\n"
        "anomaly INVALID_BDAT\n",
    },
    {
        "an odd BDAT that the server takes, or refuses for what is in it, has its chunk",
        HELLO ENVELOPE "C! \\x0bBDAT 6\\r\\nRSET\\r\\n\nS: 250 ok\n"
                       "C! BDAT 4 LAST\\0x\\r\\nabcd\nS: 250 ok\n" ENVELOPE
                       "C! BDAT 6\\0\\r\\nQUIT\\r\\n\nS: 552 too big\nC: RSET\nS: 250 ok\n" BYE,
        "mail bdat 10: RSET\\r\\nabcd\n"
        "mail bdat incomplete 6: QUIT\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=10 mail=1\n"
        "tx 1 rejected " TX " reply=552 bytes=6 mail=2\n",
    },
    {
        "a server in C reads no further than NUL: LAST is not seen behind it, nor junk",
        HELLO ENVELOPE "C! BDAT 4\\0LAST\\r\\nabcd\nS: 250 ok\n"
                       "C! BDAT 3 LAST\\r\\nefg\nS: 250 ok\n" ENVELOPE
                       "C! BDAT 6 LAST\\0x\\r\\nRSET\\r\\n\nS: 250 ok\n" BYE,
        "mail bdat 7: abcdefg\n"
        "mail bdat 6: RSET\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=7 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=6 mail=2\n",
    },
    {
        "\\0DATA that the server does not take, and one that it does",
        HELLO ENVELOPE "C! \\0DATA\\r\\n\nS: 500 what\nC! \\0DATA\\r\\n\nS: 354 go\n"
                       "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly DATA_COMMAND_REJECTED\n",
    },
    REFUSED_BETWEEN_CHUNKS("RSET", "RSET x", "501 no", ""),
    REFUSED_BETWEEN_CHUNKS("an odd RSET", "\\0RSET", "502 no", ""),
    REFUSED_BETWEEN_CHUNKS("MAIL", "MAIL FROM:<c@x>", "503 no", "anomaly DUPLICATE_FIELDS\n"),
    REFUSED_BETWEEN_CHUNKS("a bare EHLO", "EHLO", "501 no", "anomaly DUPLICATE_FIELDS\n"),
    REFUSED_BETWEEN_CHUNKS("DATA", "DATA", "503 no",
                           "anomaly DATA_COMMAND_REJECTED\n"
                           "anomaly UNPARSABLE_CONTENT\n"),
    REFUSED_BETWEEN_CHUNKS("QUIT", "QUIT x", "501 no", ""),
    REFUSED_BETWEEN_CHUNKS("STARTTLS", "STARTTLS x", "501 no", "anomaly TLS_REJECTED\n"),
    {"MAIL refused between chunks, the one before as well: one transaction, told once",
     HELLO "C: MAIL FROM:<a@x>\nS: 550 no\nC! BDAT 2\\r\\nab\nS: 503 no\n"
           "C: MAIL FROM:<c@x>\nS: 550 no\nC! BDAT 2 LAST\\r\\ncd\nS: 503 no\n" BYE,
     "mail bdat 4: abcd\n"
     "tx 0 rejected helo=client.example from=<a@x> reply=503 bytes=4 mail=1\n"},
    {
        "RSET granted between chunks ends the mail",
        HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\nC: RSET\nS: 250 ok\n" ENVELOPE
                       "C! BDAT 2 LAST\\r\\ncd\nS: 250 ok\n" BYE,
        "mail bdat incomplete 2: ab\n"
        "mail bdat 2: cd\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=2 mail=2\n",
    },
    {
        "RSET, MAIL and QUIT granted between chunks, all of it pipelined",
        HELLO "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2\\r\\nabRSET\\r\\n\n"
              "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2\\r\\ncd\n"
              "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2\\r\\nefQUIT\\r\\n\n"
              "S* 10 250 ok\\r\\n\nS: 221 bye\n",
        "mail bdat incomplete 2: ab\n"
        "mail bdat incomplete 2: cd\n"
        "mail bdat incomplete 2: ef\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 aborted " TX " reply=250 bytes=2 mail=2\n"
        "tx 2 aborted " TX " reply=250 bytes=2 mail=3\n"
        "anomaly DUPLICATE_FIELDS\n",
    },
    {
        "STARTTLS granted between chunks",
        HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\nC: STARTTLS\nS: 220 go\nC! \\x16\\x03\\x01\n",
        "mail bdat incomplete 2: ab\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 tls helo=client.example\n"
        "tls\n",
    },
    {
        "only the client is seen, whose EHLO and first MAIL were refused perhaps",
        "C: EHLO client.example\nC: HELO client.example\nC: MAIL FROM:<no@x>\nC: MAIL FROM:<a@x>\n"
        "C: RCPT TO:<b@y>\nC: DATA\nC: x\nC: .\nC: QUIT\n",
        "mail 3: x\\r\\n\n"
        "tx 0 aborted helo=client.example from=<no@x>\n"
        "tx 1 unanswered " TX " bytes=3 mail=1\n",
        .timing = true,
    },
    {
        "the reply to EHLO and the one to MAIL are lost, who were refused perhaps",
        "S: 220 mx ESMTP\nC: EHLO client.example\nS~ 8\nC: HELO client.example\nS: 250 mx\n"
        "C: MAIL FROM:<no@x>\nS~ 8\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 "
        "ok\n" DATA "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 aborted helo=client.example from=<no@x>\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=1\n",
        .timing = true,
    },
    {
        "only the client is seen: RSET between chunks",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC! BDAT 2\\r\\nab\n"
        "C: RSET\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC! BDAT 2 LAST\\r\\ncd\nC: QUIT\n",
        "mail bdat incomplete 2: ab\n"
        "mail bdat 2: cd\n"
        "tx 0 aborted " TX " bytes=2 mail=1\n"
        "tx 1 unanswered " TX " bytes=2 mail=2\n",
        .timing = true,
    },
    {
        "the reply to a command between chunks is lost, or does not come before the end",
        HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\nC: RSET\nS~ 8\n" ENVELOPE
                       "C! BDAT 2\\r\\ncd\nS: 250 ok\nC: RSET\n",
        "mail bdat incomplete 2: ab\n"
        "mail bdat incomplete 2: cd\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 aborted " TX " reply=250 bytes=2 mail=2\n",
        .timing = true,
    },
    {
        "more behind a command between chunks than is held: taken as granted",
        HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\n"
                       "C! RSET\\r\\nMAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nBDAT 2 LAST\\r\\ncd\n"
                       "S! 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n\n" BYE,
        "mail bdat incomplete 2: ab\n"
        "mail bdat 2: cd\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=2 mail=2\n",
        .timing = true,
        .limits = {1000, 64, 100, 3, 20, 60, 20},
    },
    {
        "AUTH LOGIN: credentials are no commands",
        HELLO "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: QUIT\nS: 334 UGFzc3dvcmQ6\n"
              "C: MAIL FROM:<evil@x>\nS: 235 2.7.0 ok\n" ENVELOPE DATA
              "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "AUTH pipelined, AUTH refused, AUTH cancelled",
        HELLO "C! AUTH PLAIN AGEAYg==\\r\\nMAIL FROM:<a@x>\\r\\n\nS! 235 ok\\r\\n250 ok\\r\\n\n"
              "C! AUTH LOGIN\\r\\nQQ==\\r\\nQg==\\r\\nRCPT TO:<b@y>\\r\\n\n"
              "S! 334 \\r\\n334 \\r\\n535 no\\r\\n250 ok\\r\\n\n"
              "C: AUTH CRAM-MD5\nS: 334 PDEyMz4=\nC: *\nS: 501 cancelled\n" DATA
              "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "STARTTLS",
        HELLO
        "C: STARTTLS\nS: 220 2.0.0 go\nC! \\x16\\x03\\x01\\0\\x05hello\\r\\nMAIL FROM:<a@x>\\r\\n\n"
        "S! \\x16\\x03\\x01\\0\\x02\\x02250 ok\\r\\n\n",
        "tx 0 tls helo=client.example\n"
        "tls\n",
    },
    {
        "STARTTLS with plain text behind it",
        HELLO "C! STARTTLS\\r\\nMAIL FROM:<a@x>\\r\\n\nS: 220 2.0.0 go\nS! \\x16\\x03\\x01\n",
        "tx 0 tls helo=client.example\n"
        "anomaly STARTTLS_INJECTION\n"
        "tls\n",
    },
    {
        "STARTTLS is refused",
        HELLO "C! STARTTLS\\r\\nMAIL FROM:<a@x>\\r\\n\nS! 454 later\\r\\n250 ok\\r\\n\n" BYE,
        "tx 0 aborted helo=client.example from=<a@x> reply=250\n"
        "anomaly TLS_REJECTED\n",
    },
    {
        "smuggled ends of data, all of them",
        HELLO ENVELOPE DATA
        "C! 1\\n.\\n2\\n.\\rx3\\n.\\r\\n4\\r.\\n5\\r.\\r6\\r.\\r\\n7\\r\\n.\\n8\\r\\n.\\r9\n"
        "C! \\r\\n\\0.\\r\\n\\r\\n.\\r\\r\\n\\r\\r\\n.\\r\\r\\nend\\r\\n.\\r\\n\n"
        "S: 250 ok\n",
        "mail 58: 1\\n.\\n2\\n.\\rx3\\n.\\r\\n4\\r.\\n5\\r.\\r6\\r.\\r\\n7\\r\\n\\n8\\r\\n\\r9"
        "\\r\\n\\x00.\\r\\n\\r\\n\\r\\r\\n\\r\\r\\n\\r\\r\\nend\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=58 mail=1\n"
        "anomaly BARE_CR\n"
        "anomaly BARE_LF\n"
        "anomaly SMUGGLING_LF_DOT_LF\n"
        "anomaly SMUGGLING_LF_DOT_CR\n"
        "anomaly SMUGGLING_LF_DOT_CRLF\n"
        "anomaly SMUGGLING_CR_DOT_LF\n"
        "anomaly SMUGGLING_CR_DOT_CR\n"
        "anomaly SMUGGLING_CR_DOT_CRLF\n"
        "anomaly SMUGGLING_CRLF_DOT_LF\n"
        "anomaly SMUGGLING_CRLF_DOT_CR\n"
        "anomaly SMUGGLING_NUL_DOT\n",
    },
    {
        "a smuggled mail stays inside",
        HELLO ENVELOPE DATA
        "C! x\\r\\n\\n.\\nMAIL FROM:<evil@x>\\r\\nRCPT TO:<v@y>\\r\\nDATA\\r\\nboo\\r\\n.\\r\\n\n"
        "S: 250 ok\n" BYE,
        "mail 52: x\\r\\n\\n.\\nMAIL FROM:<evil@x>\\r\\nRCPT TO:<v@y>\\r\\nDATA\\r\\nboo\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=52 mail=1\n"
        "anomaly BARE_LF\n"
        "anomaly SMUGGLING_LF_DOT_LF\n",
    },
    {
        "unknown commands are answered, too",
        HELLO "C: FOO\nS: 500 what\nC: \nS: 500 what\nC! \\x00\\xff\\n\nS: 500 what\n" ENVELOPE DATA
              "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "replies that are none, and codes that nobody knows",
        HELLO "C: MAIL FROM:<a@x>\nS: huh\nS: 472 odd\nC: RCPT TO:<b@y>\nS: 25\n" BYE,
        "tx 0 rejected helo=client.example from=<a@x> to=<b@y> reply=472\n"
        "anomaly INVALID_REPLY\n",
        .timing = true,
    },
    {
        "a reply that nobody asked for",
        HELLO "C: NOOP\nS: 250 ok\nS: 250 ok again\n",
        "tx 0 none helo=client.example\n"
        "anomaly UNABLE_TO_MATCH_REPLY_WITH_REQUEST\n",
    },
    {
        "the server hangs up",
        HELLO ENVELOPE "S: 421 idle for too long\n",
        "tx 0 aborted " TX " reply=250\n",
    },
    {
        "the greeting is a refusal",
        "S: 554 no SMTP service here\nC: EHLO client.example\nS: 503 no\n" BYE,
        "tx 0 none helo=client.example\n",
    },
    {
        "no greeting",
        "C: EHLO client.example\nS: 250 mx\n" ENVELOPE DATA "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "anomaly NO_SERVER_WELCOME_MESSAGE\n",
    },
    {
        "bare line feeds end commands and replies",
        "S! 220 mx SMTP\\n\nC! HELO client.example\\n\nS! 250\\n\nC! MAIL FROM:<a@x>\\n\nS! 250 "
        "ok\\n\n"
        "C! RCPT TO:<b@y>\\n\nS! 250 ok\\n\nC! DATA\\n\nS! 354 go\\n\nC: x\nC: .\nS! 250 ok\\n\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "LMTP: one reply for each recipient",
        "S: 220 mx LMTP\nC: LHLO client.example\nS: 250 mx\nC: MAIL FROM:<a@x>\nS: 250 ok\n"
        "C: RCPT TO:<b@y>\nS: 250 ok\nC: RCPT TO:<c@y>\nS: 250 ok\nC: RCPT TO:<d@y>\nS: 550 "
        "no\n" DATA "C: x\nC: .\nS: 452 full\nS: 250 ok\nC: MAIL FROM:<e@x>\nS: 250 ok\nC: RCPT "
        "TO:<f@y>\nS: 250 ok\n" DATA "C: y\nC: .\nS: 452 full\n" BYE,
        "mail 3: x\\r\\n\n"
        "mail 3: y\\r\\n\n"
        "tx 0 accepted helo=client.example from=<a@x> to=<b@y> to=<c@y> no=<d@y> reply=250 bytes=3 "
        "mail=1\n"
        "tx 1 rejected helo=client.example from=<e@x> to=<f@y> reply=452 bytes=3 mail=2\n",
    },
    {
        "the session ends in the data",
        HELLO ENVELOPE DATA "C! Subject: x\\r\\n\\r\\nhalf\\r\\n.\n",
        "mail incomplete 20: Subject: x\\r\\n\\r\\nhalf\\r\\n\n"
        "tx 0 aborted " TX " bytes=20 mail=1\n",
    },
    {
        "the session ends before the final reply",
        HELLO ENVELOPE DATA "C: x\nC: .\n",
        "mail 3: x\\r\\n\n"
        "tx 0 unanswered " TX " bytes=3 mail=1\n",
    },
    {
        "the session ends behind DATA",
        HELLO ENVELOPE "C: DATA\n",
        "tx 0 aborted " TX " reply=250\n",
    },
    {
        "the session ends in a chunk",
        HELLO ENVELOPE "C! BDAT 10 LAST\\r\\nabc\n",
        "mail bdat incomplete 3: abc\n"
        "tx 0 aborted " TX " bytes=3 mail=1\n",
    },
    {
        "the session ends between chunks",
        HELLO ENVELOPE "C! BDAT 3\\r\\nabc\nS: 250 ok\n",
        "mail bdat incomplete 3: abc\n"
        "tx 0 aborted " TX " reply=250 bytes=3 mail=1\n",
    },
    {
        "only the client is seen",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: one\nC: .\n"
        "C: MAIL FROM:<c@x>\nC: RCPT TO:<d@y>\nC: DATA\nC: two\nC: .\nC: QUIT\n",
        "mail 5: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n"
        "tx 1 unanswered helo=client.example from=<c@x> to=<d@y> bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen: AUTH, a DATA that was refused, STARTTLS",
        "C: EHLO client.example\nC: AUTH LOGIN\nC: dXNlcg==\nC: cGFzcw==\nC: MAIL FROM:<a@x>\n"
        "C: RCPT TO:<b@y>\nC: DATA\nC: RSET\nC: STARTTLS\nC! \\x16\\x03\\x01\\0\\x01x\\n\n",
        "tx 0 rejected " TX "\n"
        "tx 1 tls helo=client.example\n"
        "tls\n",
        .timing = true,
    },
    {
        "only the client is seen, from the middle of a mail",
        "C: lost its beginning\nC: MAIL is a word\nC: .\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: "
        "DATA\nC: x\nC: .\n",
        "mail 3: x\\r\\n\n"
        "tx 0 unanswered from=<a@x> to=<b@y> bytes=3 mail=1\n",
        .flags = MR_SMTP_MIDSTREAM,
        .timing = true,
    },
    {
        "picked up in the middle of a mail, both sides",
        "C: its end\nC: .\nS: 250 queued\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 550 "
        "no\n"
        "C: RCPT TO:<c@y>\nS: 250 ok\n" DATA "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 accepted from=<a@x> no=<b@y> to=<c@y> reply=250 bytes=3 mail=1\n",
        .flags = MR_SMTP_MIDSTREAM,
        .timing = true,
    },
    {
        "picked up at the greeting",
        HELLO ENVELOPE DATA "C: x\nC: .\nS: 250 ok\n",
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
        .flags = MR_SMTP_MIDSTREAM,
        .timing = true,
    },
    {
        "only the server is seen",
        "S: 220 mx ESMTP\nS: 250-mx\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 ok\nS: 221 bye\n",
        "",
        .timing = true,
    },
    {
        "a hole in the data",
        HELLO ENVELOPE DATA "C! ab\nC~ 100\nC! yz\\r\\n.\\r\\n\nS: 250 ok\n" ENVELOPE DATA
                            "C: x\nC: .\nS: 250 ok\n",
        "mail incomplete 6: abyz\\r\\n\n"
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=6 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "a hole over the end of the data",
        HELLO ENVELOPE DATA "C! ab\nC~ 5\nS: 250 ok\n" ENVELOPE DATA "C: x\nC: .\nS: 250 ok\n",
        "mail incomplete 2: ab\n"
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "a hole over the end of the data, noticed late",
        HELLO ENVELOPE DATA "C! ab\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 ok\nC~ 5\n"
                            "C: MAIL FROM:<c@x>\nC: RCPT TO:<d@y>\nC: DATA\nC: x\nC: .\n" BYE,
        "mail incomplete 2: ab\n"
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted helo=client.example from=<c@x> to=<d@y> reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "a hole in the data, noticed after the final reply",
        HELLO ENVELOPE DATA "C! ab\nS: 250 ok\nC~ 5\nC! cd\\r\\n\nC: x\nC: .\n" BYE,
        "mail incomplete 9: abcd\\r\\nx\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=9 mail=1\n",
        .timing = true,
    },
    {
        "the dot stands right behind a hole, noticed after the final reply",
        HELLO ENVELOPE DATA "C! ab\nS: 250 ok\nC~ 5\nC: .\n" ENVELOPE DATA "C: x\nC: .\nS: 250 ok\n"
                            "C: MAIL FROM:<c@x>\nS: 250 ok\nC: RCPT TO:<d@y>\nS: 250 ok\n" DATA
                            "C: z\nC: .\nS: 250 ok\n" BYE,
        "mail incomplete 5: ab.\\r\\n\n"
        "mail 3: x\\r\\n\n"
        "mail 3: z\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=5 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n"
        "tx 2 accepted helo=client.example from=<c@x> to=<d@y> reply=250 bytes=3 mail=3\n",
        .timing = true,
    },
    {
        "the end of the line with the dot stands behind a hole, all noticed late",
        HELLO ENVELOPE DATA "C! ab\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 ok\nC~ 5\n"
                            "C! \\r\\nMAIL FROM:<c@x>\\r\\nRCPT TO:<d@y>\\r\\nDATA\\r\\n\n"
                            "C: x\nC: .\n" BYE,
        "mail incomplete 4: ab\\r\\n\n"
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=4 mail=1\n"
        "tx 1 accepted helo=client.example from=<c@x> to=<d@y> reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "DATA is lost",
        HELLO ENVELOPE "C~ 6\nS: 354 go\nC: x\nC: .\nS: 250 ok\n" ENVELOPE DATA
                       "C: y\nC: .\nS: 250 ok\n" BYE,
        "mail incomplete 3: x\\r\\n\n"
        "mail 3: y\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "DATA is lost, noticed late",
        HELLO ENVELOPE "S: 354 go\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 ok\n"
                       "S: 221 bye\nC~ 6\nC! Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\n"
                       "C: MAIL FROM:<c@x>\nC: RCPT TO:<d@y>\nC: DATA\nC: y\nC: .\nC: QUIT\n",
        "mail incomplete 21: Subject: x\\r\\n\\r\\nhello\\r\\n\n"
        "mail 3: y\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=21 mail=1\n"
        "tx 1 accepted helo=client.example from=<c@x> to=<d@y> reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "DATA is lost with all before it, which was sent at once",
        HELLO "C~ 50\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\nS: 250 ok\n" BYE,
        "mail incomplete 3: x\\r\\n\n"
        "tx 0 accepted helo=client.example reply=250 bytes=3 mail=1\n",
        .timing = true,
    },
    {
        "DATA is lost, which is told before the replies to what stood before it",
        HELLO "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC~ 6\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
              "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail incomplete 3: x\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n",
        .timing = true,
    },
    {
        "DATA is lost, and nothing comes behind it",
        HELLO ENVELOPE "C~ 6\nS: 354 go\n",
        "tx 0 aborted " TX " reply=250\n",
        .timing = true,
    },
    {
        "picked up at the reply to DATA",
        "S: 354 go\nC: x\nC: .\nS: 250 ok\n" ENVELOPE DATA "C: y\nC: .\nS: 250 ok\n" BYE,
        "mail incomplete 3: x\\r\\n\n"
        "mail 3: y\\r\\n\n"
        "tx 0 accepted reply=250 bytes=3 mail=1\n"
        "tx 1 accepted from=<a@x> to=<b@y> reply=250 bytes=3 mail=2\n",
        .flags = MR_SMTP_MIDSTREAM | MR_SMTP_USUAL_PORT,
        .timing = true,
    },
    {
        "only the client is seen, and DATA is lost",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC~ 6\nC: Subject: one\nC: "
        ".\n"
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
        "mail incomplete 14: Subject: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " bytes=14 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, DATA is lost, and the first field has a long name",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC~ 6\n"
        "C: Content-Transfer-Encoding: 8bit\nC: .\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\n"
        "C: two\nC: .\n",
        "mail incomplete 33: Content-Transfer-Encoding: 8bit\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " bytes=33 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, DATA is lost, and the hole ends within a field, or in a text",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC~ 60\n"
        "C: Tue, 23 Nov 2023 at 12\nC: a\nC: Subject: one\nC: .\n"
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
        "mail incomplete 14: Subject: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " bytes=14 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, and a chunk is lost with its command",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC~ 60\nC: Subject: one\n"
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
        "mail incomplete 14: Subject: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " bytes=14 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, and the dot stands right behind a hole",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC! one\nC~ 5\nC: "
        ".\n"
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
        "mail incomplete 6: one.\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " bytes=6 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, and a mail with a hole speaks of commands",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC! one\nC~ 5\nC: "
        "more\nC: BDAT 1099511627775\nC: data\nC: .\n"
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
        "mail incomplete 35: onemore\\r\\nBDAT 1099511627775\\r\\ndata\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " bytes=35 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, and a hole ends within a command",
        "C: EHLO client.example\nC~ 5\nC! FROM:<a@x>\\r\\n\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: "
        ".\n",
        "mail 5: two\\r\\n\n"
        "tx 0 unanswered helo=client.example to=<b@y> bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "only the client is seen, and a command is lost",
        "C: EHLO client.example\nC~ 18\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
        "mail 5: two\\r\\n\n"
        "tx 0 unanswered helo=client.example to=<b@y> bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "a lost command, noticed late",
        HELLO ENVELOPE DATA "C: x\nC: .\nS: 250 ok\n"
                            "S: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 queued\nS: 221 bye\n"
                            "C~ 18\nC: RCPT TO:<d@y>\nC: DATA\nC: y\nC: .\nC: QUIT\n",
        "mail 3: x\\r\\n\n"
        "mail 3: y\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=3 mail=1\n"
        "tx 1 accepted helo=client.example to=<d@y> reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "only the client is seen, and not the end of the data",
        "C: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: one\nC: .\n"
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC! two\nC~ 5\nC: MAIL FROM:<a@x>\n"
        "C: RCPT TO:<b@y>\nC: DATA\nC: three\nC: .\n",
        "mail 5: one\\r\\n\n"
        "mail incomplete 3: two\n"
        "mail 7: three\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n"
        "tx 1 aborted " TX " bytes=3 mail=2\n"
        "tx 2 unanswered " TX " bytes=7 mail=3\n",
        .timing = true,
    },
    {
        "a hole in a chunk, and over the end of one",
        HELLO ENVELOPE "C! BDAT 10\\r\\nab\nC~ 7\nC! zBDAT 6 LAST\\r\\ncd\nS: 250 ok\nC~ 10\n"
                       "C! LL\\r\\nNOOP\\r\\n\nS: 250 ok\nS: 500 what\nS: 250 ok\n" BYE,
        "mail bdat incomplete 5: abzcd\n"
        "tx 0 accepted " TX " reply=250 bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "a chunk is lost with its command",
        HELLO ENVELOPE "C! BDAT 2\\r\\nab\nS: 250 ok\nC~ 20\nS: 250 ok\n"
                       "C! BDAT 2 LAST\\r\\nyz\nS: 250 ok\n" BYE,
        "mail bdat incomplete 4: abyz\n"
        "tx 0 accepted " TX " reply=250 bytes=4 mail=1\n",
        .timing = true,
    },
    {
        "a command is lost",
        HELLO
        "C: MAIL FROM:<a@x>\nS: 250 ok\nC~ 18\nS: 250 ok\nC! b@y>\\r\\nDATA\\r\\n\nS: 354 go\n"
        "C: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 accepted helo=client.example from=<a@x> reply=250 bytes=3 mail=1\n",
        .timing = true,
    },
    {
        "a hole that is noticed late",
        HELLO ENVELOPE
        "C! BDAT 200\\r\\nab\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 queued\nS: 221 bye\n"
        "C~ 1000\nC: DATA\nC: x\nC: .\nC: QUIT\n",
        "mail bdat incomplete 2: ab\n"
        "mail 3: x\\r\\n\n"
        "tx 0 aborted " TX " reply=250 bytes=2 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n"
        "anomaly UNPARSABLE_CONTENT\n",
        .timing = true,
    },
    {
        "replies are lost",
        HELLO
        "C: MAIL FROM:<a@x>\nS~ 14\nC: RCPT TO:<b@y>\nS: 250 ok\nC: RCPT TO:<c@y>\nS: 550 no\n"
        "C: DATA\nS~ 8\nC: x\nC: .\nS: 250 ok\n" BYE,
        "mail 3: x\\r\\n\n"
        "tx 0 accepted " TX " no=<c@y> reply=250 bytes=3 mail=1\n",
        .timing = true,
    },
    {
        "DATA is lost and refused, and the mail's lines as well: later verdicts do not shift",
        HELLO ENVELOPE
        "C~ 6\nS: 503 no\nC: Subject: one\nC: .\nS: 500 what\nS: 500 what\n" ENVELOPE DATA
        "C: two\nC: .\nS: 550 no\n" ENVELOPE DATA "C: three\nC: .\nS: 250 ok\n" BYE,
        "mail 5: two\\r\\n\n"
        "mail 7: three\\r\\n\n"
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 rejected " TX " reply=550 bytes=5 mail=1\n"
        "tx 2 accepted " TX " reply=250 bytes=7 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "the same, all refused behind the mail's lines",
        HELLO ENVELOPE
        "C~ 6\nC: Subject: one\nC: .\nS: 503 no\nS: 500 what\nS: 500 what\n" ENVELOPE DATA
        "C: two\nC: .\nS: 550 no\n" ENVELOPE DATA "C: three\nC: .\nS: 250 ok\n" BYE,
        "mail 5: two\\r\\n\n"
        "mail 7: three\\r\\n\n"
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 rejected " TX " reply=550 bytes=5 mail=1\n"
        "tx 2 accepted " TX " reply=250 bytes=7 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "holes around a mail whose DATA is lost do not end in the next one's envelope",
        HELLO ENVELOPE "C~ 20\nC: Subject: one\nC! sixteen bytes or more\nC~ 300\n"
                       "C: MAIL FROM:<c@x>\nS: 250 ok\nC: RCPT TO:<d@y>\nS: 250 ok\n" DATA
                       "C: two\nC: .\nS: 250 ok\n" BYE,
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 accepted helo=client.example from=<c@x> to=<d@y> reply=250 bytes=5 mail=1\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "the 354 and its DATA are lost, and only chunks come behind",
        HELLO ENVELOPE "S~ 8\nC~ 6\nC: Subject: one\nC: .\nS: 250 ok\n" ENVELOPE
                       "C! BDAT 3 LAST\\r\\ntwo\nS: 550 no\n" ENVELOPE
                       "C! BDAT 5 LAST\\r\\nthree\nS: 250 ok\n" BYE,
        "mail bdat 3: two\n"
        "mail bdat 5: three\n"
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 rejected " TX " reply=550 bytes=3 mail=1\n"
        "tx 2 accepted " TX " reply=250 bytes=5 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "a hole within a mail whose DATA is lost, and MAIL begins a segment",
        HELLO ENVELOPE "C~ 6\nC! Subject: one\\r\\nmore\nC~ 30\n" ENVELOPE DATA
                       "C: two\nC: .\nS: 550 no\n" ENVELOPE DATA "C: three\nC: .\nS: 250 ok\n" BYE,
        "mail 5: two\\r\\n\n"
        "mail 7: three\\r\\n\n"
        "tx 0 aborted " TX " reply=250\n"
        "tx 1 rejected " TX " reply=550 bytes=5 mail=1\n"
        "tx 2 accepted " TX " reply=250 bytes=7 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "a verdict is lost, and no other reply is taken for it",
        HELLO ENVELOPE DATA "C: one\nC: .\nC: MAIL FROM:<c@x>\nS~ 20\nS: 250 ok\n"
                            "C: RCPT TO:<d@y>\nS: 250 ok\n" DATA "C: two\nC: .\nS: 550 no\n" BYE,
        "mail 5: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n"
        "tx 1 rejected helo=client.example from=<c@x> to=<d@y> reply=550 bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "a verdict is lost, and QUIT",
        HELLO ENVELOPE DATA "C: one\nC: .\nS~ 20\nC~ 6\nS: 221 bye\n",
        "mail 5: one\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "replies are lost, and those that come behind all that the client says are no verdicts",
        HELLO ENVELOPE
        "C: DATA\nC: one\nC: .\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\n"
        "C: .\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: three\nC: .\nC: QUIT\n"
        "S~ 30\nS: 354 go\nS: 550 no\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 ok\n"
        "S: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 ok\nS: 221 bye\n",
        "mail 5: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "mail 7: three\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n"
        "tx 1 unanswered " TX " bytes=5 mail=2\n"
        "tx 2 unanswered " TX " bytes=7 mail=3\n",
        .timing = true,
    },
    {
        "replies are lost up to that to an EHLO, which has several lines",
        "S: 220 mx.example ESMTP\nC: EHLO client.example\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: "
        "DATA\n"
        "C: one\nC: .\nC: EHLO client.example\nS~ 90\nS: 250-mx.example\nS: 250 CHUNKING\n" ENVELOPE
            DATA "C: two\nC: .\nS: 550 no\n" BYE,
        "mail 5: one\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n"
        "tx 1 rejected " TX " reply=550 bytes=5 mail=2\n"
        "anomaly DUPLICATE_FIELDS\n",
        .timing = true,
    },
    {
        "where replies are lost a refusal may be another command's: the client goes on with data",
        HELLO "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nS~ 30\nS: 550 no\nC: one\nC: .\n"
              "S: 250 ok\n" BYE,
        "mail 5: one\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "the same, and it goes on with commands",
        HELLO "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nS~ 30\nS: 554 no\nC: RSET\nS: 250 "
              "ok\n" ENVELOPE DATA "C: two\nC: .\nS: 550 no\n" BYE,
        "mail 5: two\\r\\n\n"
        "tx 0 aborted " TX "\n"
        "tx 1 rejected " TX " reply=550 bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "where replies are lost 250 is no answer to DATA",
        HELLO ENVELOPE "C: DATA\nS~ 30\nS: 250 ok\nS: 354 go\nC: one\nC: .\nS: 550 no\n" BYE,
        "mail 5: one\\r\\n\n"
        "tx 0 rejected " TX " reply=550 bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "a 354 may not be of the DATA that the client goes on behind with commands: a mail, until "
        "another reply comes",
        HELLO "C: MAIL FROM:<a@x>\nS: 250 ok\nS: 250 ok\nS: 451 no\nS: 250 ok\nS: 250 ok\nS: 250 "
              "ok\nS: 354 go\n"
              "S: 550 no\nS: 221 bye\nC~ 15\nC: DATA\nC: RSET\nC: MAIL FROM:<c@x>\nC: RCPT "
              "TO:<d@y>\nC: DATA\n"
              "C: two\nC: .\nC: QUIT\n",
        "mail incomplete 6: RSET\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 aborted helo=client.example from=<a@x> bytes=6 mail=1\n"
        "tx 1 unanswered helo=client.example from=<c@x> to=<d@y> bytes=5 mail=2\n",
        .timing = true,
    },
    /* whatever was lost, and whoever lost it: no mail hides behind a command in its first line */
    HIDING_MAIL("behind a hole in NOOP", "C! NOOP \nC~ 10\nC! aa\\r\\n\nS: 250 ok\n", ""),
    HIDING_MAIL("behind a hole that has room for a mail",
                "C! NOOP \nC~ 100\nC! aa\\r\\n\nS: 250 ok\n", ""),
    HIDING_MAIL("behind one with a reply too many",
                "C! NOOP \nC~ 10\nC! \\r\\nNOOP\\r\\n\nS: 250 ok\nS: 250 ok\n", ""),
    HIDING_MAIL("behind a line that is no reply", "S: oops\n", "anomaly INVALID_REPLY\n"),
    {
        "midstream, mails that begin with a command",
        ENVELOPE DATA "C: RSET\nC: From: a\nC: .\nS: 250 ok\n" ENVELOPE DATA
                      "C: QUIT\nC: From: b\nC: .\nS: 250 ok\n" BYE,
        "mail 15: RSET\\r\\nFrom: a\\r\\n\n"
        "mail 15: QUIT\\r\\nFrom: b\\r\\n\n"
        "tx 0 accepted from=<a@x> to=<b@y> reply=250 bytes=15 mail=1\n"
        "tx 1 accepted from=<a@x> to=<b@y> reply=250 bytes=15 mail=2\n",
        .flags = MR_SMTP_MIDSTREAM,
        .timing = true,
    },
    {
        "a mail that begins with a command, sent at once with its DATA behind a hole",
        HELLO "C! NOOP \nC~ 100\nC! aa\\r\\n\nS: 250 ok\n" ENVELOPE
              "C! DATA\\r\\nRSET\\r\\nFrom: a\\r\\n.\\r\\n\nS: 354 go\nS: 250 ok\n" BYE,
        "mail 15: RSET\\r\\nFrom: a\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=15 mail=1\n",
        .timing = true,
    },
    {
        "where replies are lost a refusal is another command's if a 354 stands behind it",
        HELLO
        "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nS~ 1\nC: DATA\nS: 250 ok\nS: 550 no\nS: 354 go\n"
        "C: RSET\nC: From: a\nC: .\nS: 250 ok\n" BYE,
        "mail 15: RSET\\r\\nFrom: a\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=15 mail=1\n",
        .timing = true,
    },
    REFUSED_BEHIND_HOLE("NOOP", "NOOP"),
    REFUSED_BEHIND_HOLE("HELP", "HELP me"),
    REFUSED_BEHIND_HOLE("VRFY", "VRFY a"),
    REFUSED_BEHIND_HOLE("AUTH", "AUTH"),
    {
        "behind a hole, DATA is refused, and an unknown command is at most a mail of its own",
        HELLO "C! NOOP \nC~ 100\nC! aa\\r\\n\nC: DATA\nS: 503 no\nC: XYZZY\nS: 500 what\n" ENVELOPE
              "C! BDAT 3 LAST\\r\\none\nS: 250 ok\n" BYE,
        "mail incomplete 7: XYZZY\\r\\n\n"
        "mail bdat 3: one\n"
        "tx 0 aborted helo=client.example bytes=7 mail=1\n"
        "tx 1 accepted " TX " reply=250 bytes=3 mail=2\n",
        .timing = true,
    },
    {
        "a hole in front of a line feed may not have ended with its CR: the dot is no end",
        HELLO ENVELOPE DATA "C! hi\nC~ 1\nC! \\n.\\r\\nmore\\r\\n.\\r\\n\nS: 250 ok\n" BYE,
        "mail incomplete 12: hi\\n.\\r\\nmore\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=12 mail=1\n",
        .timing = true,
    },
    {
        "the same, and it had: the reply says that it was the end",
        HELLO ENVELOPE DATA "C! hi\nC~ 1\nC! \\n.\\r\\n\nS: 250 ok\n" ENVELOPE DATA
                            "C: two\nC: .\nS: 550 no\n" BYE,
        "mail incomplete 6: hi\\n.\\r\\n\n"
        "mail 5: two\\r\\n\n"
        "tx 0 accepted " TX " reply=250 bytes=6 mail=1\n"
        "tx 1 rejected " TX " reply=550 bytes=5 mail=2\n",
        .timing = true,
    },
    {
        "replies are lost of a client that pipelines up to the end of each mail: two mails later "
        "verdicts are told",
        HELLO PIPELINED_CHUNK "S~ 30\nS: 250 ok\n" PIPELINED_CHUNK
                              "S: 250 ok\nS: 250 ok\nS: 550 no\n" PIPELINED_CHUNK
                              "S: 250 ok\nS: 250 ok\nS: 550 no\n" BYE,
        "mail bdat 3: one\n"
        "mail bdat 3: one\n"
        "mail bdat 3: one\n"
        "tx 0 unanswered " TX " bytes=3 mail=1\n"
        "tx 1 unanswered " TX " bytes=3 mail=2\n"
        "tx 2 rejected " TX " reply=550 bytes=3 mail=3\n",
        .timing = true,
    },
    {
        "a client that did not wait for DATA's reply goes on when a reply too many comes",
        HELLO "C: NOOP\nS~ 30\nC: NOOP\nS: 250 ok\n"
              "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nDATA\\r\\none\\r\\n.\\r\\n\n"
              "S! 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n354 go\\r\\n250 queued\\r\\n\n" BYE,
        "mail 5: one\\r\\n\n"
        "tx 0 unanswered " TX " bytes=5 mail=1\n",
        .timing = true,
    },
    {
        "a line that is too long",
        HELLO "C* 90 0123456789\nC! x\\r\\n\nS: 500 too long\nC! EHLO \nC* 8 0123456789\nC! "
              "\\r\\n\nS: 250 mx\n"
              "C: NOOP\nS! 250-\nS* 20 0123456789\nS! \\r\\n250 x\\r\\n\n",
        "tx 0 none helo=01234567890123456789\n"
        "anomaly DUPLICATE_FIELDS\n"
        "anomaly LONG_PATH\n"
        "anomaly TRUNCATED_LINE\n"
        "anomaly MAX_REPLY_LINE_LEN_EXCEEDED\n",
        .limits = {1000, 64, 100, 3, 20, 6, 1000},
    },
    {
        "more recipients than are kept",
        HELLO "C! MAIL FROM:<a@x>\\r\\nRCPT TO:<1@y>\\r\\nRCPT TO:<2@y>\\r\\nRCPT TO:<3@y>\\r\\n\n"
              "S! 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n\n"
              "C! RCPT TO:<4@y>\\r\\nRCPT TO:<5@y>\\r\\n\nS! 250 ok\\r\\n550 no\\r\\n\n" BYE,
        "tx 0 aborted helo=client.example from=<a@x> to=<1@y> to=<2@y> to=<3@y> reply=550\n"
        "anomaly TOO_MANY_RECIPIENTS\n",
        .limits = {1000, 64, 100, 3, 20, 60, 1000},
    },
    {
        "a mail over the limit",
        HELLO ENVELOPE DATA "C* 3 0123456789\nC! \\r\\n.\\r\\n\nS: 250 ok\n" BYE,
        "mail truncated 32: 012345678901234567890123\n"
        "tx 0 accepted " TX " reply=250 bytes=32 mail=1\n"
        "anomaly MAIL_TRUNCATED\n",
        .limits = {24, 64, 100, 3, 20, 6, 1000},
    },
    {
        "more outstanding commands than are kept",
        HELLO "C* 5 NOOP\\r\\n\nC! MAIL FROM:<a@x>\\r\\nRCPT TO:<b@y>\\r\\nRCPT TO:<c@y>\\r\\n\n"
              "S* 7 250 ok\\r\\n\nS! 550 no\\r\\n\n" BYE,
        "tx 0 aborted " TX " no=<c@y> reply=550\n"
        "anomaly TOO_MANY_OUTSTANDING_COMMANDS\n",
        .timing = true,
        .limits = {1000, 64, 100, 3, 20, 6, 1000},
    },
};

#pragma GCC diagnostic pop

#define N_SMTP_SESSIONS (sizeof smtp_sessions / sizeof *smtp_sessions)

#endif
