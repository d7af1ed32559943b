#include "train/teacher.h"

#include <mutex>

#include "data/layout.h"
#include "train/trainer.h"

namespace lathe::train {
namespace {

class NetworkTeacher final : public Teacher {
 public:
  NetworkTeacher(const net::Network& network, const net::Weights& weights,
                 const data::Preprocessing& preprocessing, int threads)
      : preprocessing_(preprocessing), model_(network, weights, threads) {}
  const data::Preprocessing& preprocessing() const override { return preprocessing_; }
  std::vector<float> Logits(std::span<const float> images, int count) override {
    return model_.Logits(images, count);
  }

 private:
  const data::Preprocessing preprocessing_;
  TrainedModel model_;
};

class EngineTeacher final : public Teacher {
 public:
  EngineTeacher(std::unique_ptr<engine::CompiledModel> model,
                const data::Preprocessing& preprocessing)
      : preprocessing_(preprocessing), model_(std::move(model)) {}
  const data::Preprocessing& preprocessing() const override { return preprocessing_; }
  std::vector<float> Logits(std::span<const float> images, int count) override {
    const std::lock_guard lock(mutex_);
    data::ToNchw(images, count, preprocessing_, nchw_);
    return model_->Run(nchw_, count);
  }

 private:
  const data::Preprocessing preprocessing_;
  std::mutex mutex_;  // guards what follows
  const std::unique_ptr<engine::CompiledModel> model_;
  std::vector<float> nchw_;
};

}  // namespace

std::unique_ptr<Teacher> MakeTeacher(const net::Network& network, const net::Weights& weights,
                                     const data::Preprocessing& preprocessing, int threads) {
  return std::make_unique<NetworkTeacher>(network, weights, preprocessing, threads);
}

std::unique_ptr<Teacher> MakeTeacher(std::unique_ptr<engine::CompiledModel> model,
                                     const data::Preprocessing& preprocessing) {
  return std::make_unique<EngineTeacher>(std::move(model), preprocessing);
}

}  // namespace lathe::train
