#define FAR 9
