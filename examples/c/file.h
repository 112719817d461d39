/* What the examples read: certificates and keys. */
#ifndef FILE_H
#define FILE_H

#include <stdio.h>
#include <stdlib.h>

/* Reads a whole file, which the caller frees; ends the program if it cannot be read. */
static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *content = NULL;
    size_t room = 0, got;
    *size = 0;
    if (file == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    do {
        room += 65536;
        content = realloc(content, room);
        if (content == NULL)
            abort();
        got = fread(content + *size, 1, room - *size, file);
        *size += got;
    } while (got > 0);
    if (ferror(file)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return content;
}

#endif
