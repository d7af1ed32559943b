// The teacher that a recipe names, from its files.
#pragma once

#include <memory>

#include "train/recipe.h"
#include "train/teacher.h"

namespace lathe::cli {

struct StudentData {
  data::Preprocessing preprocessing;  // what the teacher is fed where its files do not say
  int classes = 0;
};

// Null without one. Throws kInput naming the file for a teacher that cannot be read, or that does
// not know the student's classes or channels.
std::shared_ptr<train::Teacher> LoadTeacher(const train::Distillation& distillation,
                                            const StudentData& student, int threads);

}  // namespace lathe::cli
