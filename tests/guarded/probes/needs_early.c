/* A program that is linked with `early`. */
int early_is_here(void);

int main(void) { return early_is_here(); }
