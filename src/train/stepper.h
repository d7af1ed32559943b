// One step of a training after the other: forwards, loss, backwards, update, average. Knows nothing
// of epochs, data sets and files. Private to this module. One thread at a time.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "data/loader.h"
#include "train/lanes.h"
#include "train/losses.h"
#include "train/module.h"
#include "train/optimizer.h"
#include "train/process_group.h"
#include "train/recorded_pass.h"
#include "train/trainer.h"

namespace lathe::train {

class Stepper {
 public:
  // `batch`: images of each step, over all processes. `options` and `group` (null: alone) must
  // outlive it.
  Stepper(const net::Network& network, int64_t batch, const TrainOptions& options,
          ProcessGroup* group);

  struct Outcome {
    double loss = 0;        // mean over the whole batch
    bool any_stop = false;  // some process wants to stop
  };
  // Of all processes' parts of a batch, of which `batch` is this one's. Throws kInput when the loss
  // is no number.
  Outcome Step(const data::Batch& batch, int64_t step, const Length& length, bool stop);

  // The weights that are judged and returned: the moving average, or the trained ones without one.
  const at::Tensor& result() const { return average_.defined() ? average_ : modules_[0].state(); }
  // The module's own state is replaced by result() while `action` runs.
  template <typename Action>
  auto WithResult(const Action& action);
  Module& module() { return modules_[0]; }
  Lanes& lanes() { return lanes_; }

  // Everything remembered from step to step, in fixed order: views to save or to copy into.
  std::vector<at::Tensor> Memory() const;
  // The first process's running statistics become everybody's, where each had its own.
  void ShareStatistics();

 private:
  // The images that a lane has in one of a step's passes, and how many all have together.
  LanePart PartOfPass(int rank, int lane, int pass) const;
  int64_t ImagesOfPass(int pass, bool of_all_processes) const;
  PassInput InputOf(const data::Batch& batch, const LanePart& part) const;
  // A lane's part of the batch: returns its share of the loss, and the first lane's gradient
  // becomes that of all lanes.
  at::Tensor RunLane(const data::Batch& batch, int64_t step, int lane);
  // Both return the pass's share of the loss, and add to the module's gradient.
  at::Tensor Pass(Module& module, const PassInput& input, const TrainingPass& pass);
  at::Tensor RunPass(Module& module, const PassInput& input, TrainingPass pass);
  at::Tensor Loss(const at::Tensor& logits, const PassInput& input);
  at::Tensor AskTeacher(const at::Tensor& student_images);
  void AddUpGradients(int lane);
  void Update(int64_t step, const Length& length);
  bool Unscale(at::Tensor& gradient);

  const TrainOptions& options_;
  const Recipe& recipe_;
  ProcessGroup* const group_;
  const int rank_, processes_;
  const int64_t batch_;
  const int passes_per_step_;
  const net::Shape input_;
  const bool scaled_;  // f16: the loss is multiplied so that its gradients do not vanish
  bool may_record_;    // on a GPU alone, without other processes and teachers, until that fails
  int passes_ = 0;     // that might have been recorded
  Lanes lanes_;
  std::vector<Module> modules_;  // one for each lane, of the same state
  FlatOptimizer optimizer_;
  at::Tensor average_;           // of the state; undefined without EMA
  at::Tensor scale_;             // {factor, steps since it last changed}; undefined unless scaled_
  std::vector<DropMask> masks_;  // of the last pass that might have been recorded
  std::unique_ptr<RecordedPass> recorded_;
};

template <typename Action>
auto Stepper::WithResult(const Action& action) {
  at::Tensor state = module().state();
  const at::Tensor trained = average_.defined() ? state.clone() : at::Tensor();
  const at::NoGradGuard no_grad;
  if (average_.defined()) state.copy_(average_);
  const auto found = action();
  if (average_.defined()) state.copy_(trained);
  return found;
}

}  // namespace lathe::train
