/* Does with an exported model what TF Serving does: loads it by its tag and runs a signature on encoded pictures.
 *
 *   serve DIR IMAGE_OP EXEMPLAR_OP WEIGHTS_OP OUTPUT_OP OUTPUT_INDEX IMAGE EXEMPLAR OUT WEIGHT...
 *
 * Writes the edited picture to OUT. Exit status 3 and the message on stderr if the model refuses the input. */
#include <stdio.h>
#include <stdlib.h>
#include <tensorflow/c/c_api.h>

static void fail(int status, const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(status);
}

static TF_Tensor *bytes_tensor(const char *path) {
  const int64_t shape[] = {1};
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_TString *text = TF_TensorData(tensor);
  FILE *file = fopen(path, "rb");
  if (!file) fail(1, path);
  fseek(file, 0, SEEK_END);
  size_t size = ftell(file);
  rewind(file);
  char *data = malloc(size + 1);
  if (fread(data, 1, size, file) != size) fail(1, path);
  fclose(file);
  TF_StringInit(text);
  TF_StringCopy(text, data, size);
  free(data);
  return tensor;
}

static TF_Output output(TF_Graph *graph, const char *name, int index) {
  TF_Output found = {TF_GraphOperationByName(graph, name), index};
  if (!found.oper) fail(1, name);
  return found;
}

int main(int count, char **arguments) {
  if (count < 11) fail(1, "too few arguments");
  const char *tags[] = {"serve"};
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  if (TF_GetCode(status) != TF_OK) fail(2, TF_Message(status));

  const int64_t shape[] = {1, count - 10};
  TF_Tensor *weights = TF_AllocateTensor(TF_FLOAT, shape, 2, sizeof(float) * (count - 10));
  for (int index = 10; index < count; index++) ((float *)TF_TensorData(weights))[index - 10] = atof(arguments[index]);

  TF_Output inputs[] = {output(graph, arguments[2], 0), output(graph, arguments[3], 0), output(graph, arguments[4], 0)};
  TF_Tensor *values[] = {bytes_tensor(arguments[7]), bytes_tensor(arguments[8]), weights};
  TF_Output outputs[] = {output(graph, arguments[5], atoi(arguments[6]))};
  TF_Tensor *results[1];
  TF_SessionRun(session, NULL, inputs, values, 3, outputs, results, 1, NULL, 0, NULL, status);
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "code %d: ", TF_GetCode(status));
    fail(3, TF_Message(status));
  }
  TF_TString *edited = TF_TensorData(results[0]);
  FILE *file = fopen(arguments[9], "wb");
  if (!file || fwrite(TF_StringGetDataPointer(edited), 1, TF_StringGetSize(edited), file) != TF_StringGetSize(edited))
    fail(1, arguments[9]);
  fclose(file);
  return 0;
}
