/* Keeps the support library non-empty. */
typedef int mr_test_support_is_never_empty;
