#include "base/error.h"

namespace lathe {

int Error::exit_code() const {
  switch (kind_) {
    case ErrorKind::kUsage:
    case ErrorKind::kInput:
    case ErrorKind::kIo:
    case ErrorKind::kUnavailable:
      return 2;
    case ErrorKind::kTargetNotReached:
      return 3;
    case ErrorKind::kInterrupted:
      return 130;
    case ErrorKind::kInternal:
      return 1;
  }
  return 1;
}

}  // namespace lathe
