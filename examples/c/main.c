/* Says which digit a picture shows: `digit PICTURE.pgm`. The model is linked in as an object file; nothing is read but the picture. */

#include "digits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, CLASSES = 10 };

/* Reads a binary PGM of 28 rows of 28 pixels into numbers from 0 (black) to 1 (white). */
static int read_picture(const char *path, float *pixels) {
    unsigned char bytes[SIDE * SIDE];
    int width = 0, height = 0, brightest = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    int fine = fscanf(file, "P5 %d %d %d", &width, &height, &brightest) == 3 && width == SIDE && height == SIDE &&
               brightest == 255 && fgetc(file) != EOF && fread(bytes, 1, sizeof bytes, file) == sizeof bytes;
    fclose(file);
    for (int i = 0; fine && i < SIDE * SIDE; i++) pixels[i] = bytes[i] / 255.0f;
    return fine;
}

int main(int count, char **arguments) {
    float pixels[SIDE * SIDE], probabilities[CLASSES];
    if (count != 2 || !read_picture(arguments[1], pixels)) {
        fprintf(stderr, "usage: digit PICTURE.pgm (28 by 28 pixels)\n");
        return 2;
    }
    if (digits_input_size(0) != sizeof pixels || digits_output_size(0) != sizeof probabilities) {
        fprintf(stderr, "the model takes or gives something else than a digit\n");
        return 1;
    }
    /* aligned_alloc wants a multiple of the alignment; the arena is all zero before its first run. */
    size_t bytes = (digits_arena_size(1) + 63) / 64 * 64;
    void *arena = aligned_alloc(64, bytes);
    if (!arena) return 1;
    memset(arena, 0, bytes);

    const void *inputs[DIGITS_INPUTS] = {pixels};
    void *outputs[DIGITS_OUTPUTS] = {probabilities};
    int code = digits_run(inputs, outputs, arena);
    free(arena);
    if (code) {
        fprintf(stderr, "check %d of the model does not hold\n", code);
        return 1;
    }
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (probabilities[i] > probabilities[best]) best = i;
    printf("%d (%.1f %%)\n", best, 100 * probabilities[best]);
    return 0;
}
