/* Runs the model `model` on one or more workers: harness INPUTS OUTPUTS WORKERS, the files dense tensors one after another. */

#include "model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_context context;
static pthread_barrier_t barrier;
static size_t workers;

static void meet(void *argument) { pthread_barrier_wait(argument); }

static void *work(void *number) { return (void *)(size_t)model_worker(&context, (size_t)number, workers); }

/* Several workers on threads of their own; the first code that is not 0. */
static int run_together(const void *const *inputs, void *const *outputs, void *arena) {
    pthread_t threads[16];
    size_t code = 0;
    pthread_barrier_init(&barrier, 0, (unsigned)workers);
    context = (struct model_context){inputs, outputs, arena, meet, &barrier};
    for (size_t i = 1; i < workers; i++) pthread_create(&threads[i], 0, work, (void *)i);
    code = (size_t)work(0);
    for (size_t i = 1; i < workers; i++) {
        void *other;
        pthread_join(threads[i], &other);
        if (!code) code = (size_t)other;
    }
    return (int)code;
}

int main(int count, char **arguments) {
    const void *inputs[MODEL_INPUTS];
    void *outputs[MODEL_OUTPUTS];
    if (count != 4 || (workers = (size_t)atoi(arguments[3])) < 1 || workers > 16) return 2;
    FILE *file = fopen(arguments[1], "rb");
    if (!file) return 3;
    for (size_t i = 0; i < MODEL_INPUTS; i++) {
        void *bytes = malloc(model_input_size(i));
        if (!bytes || fread(bytes, 1, model_input_size(i), file) != model_input_size(i)) return 4;
        inputs[i] = bytes;
    }
    if (fgetc(file) != EOF) return 5;
    fclose(file);
    for (size_t i = 0; i < MODEL_OUTPUTS; i++)
        if (!(outputs[i] = malloc(model_output_size(i)))) return 6;
    size_t bytes = (model_arena_size(workers) + 63) / 64 * 64;
    void *arena = aligned_alloc(64, bytes + 64);
    if (!arena) return 6;
    memset(arena, 0, bytes);
    int code = workers == 1 ? model_run(inputs, outputs, arena) : run_together(inputs, outputs, arena);
    if (code) {
        fprintf(stderr, "check %d does not hold\n", code);
        return 7;
    }
    if (!(file = fopen(arguments[2], "wb"))) return 8;
    for (size_t i = 0; i < MODEL_OUTPUTS; i++) fwrite(outputs[i], 1, model_output_size(i), file);
    return fclose(file) ? 8 : 0;
}
