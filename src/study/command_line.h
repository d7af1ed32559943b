// The command of a user's own program: its words, and the {placeholders} in them. It is started as
// it is, without a shell, so nothing in a path or a name can be mistaken for an instruction.
// Thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::study {

// The words of `text` by the rules of a POSIX shell: blanks part words; '...' keeps all; "..."
// keeps all but a backslash before one of " \ $ `; elsewhere a backslash keeps the next character.
// What a shell would do more with (variables, pipes, patterns, ~, comments) throws kInput: here it
// would do nothing. Quoted, such characters stand for themselves.
std::vector<std::string> SplitWords(std::string_view text);

// `word` with every {name} replaced by its value, which is not looked at again. {{name}} stands for
// {name}; braces around anything but a name stay. Throws kInput for a name that `values` lacks,
// with the nearest one.
std::string FillIn(std::string_view word, const std::map<std::string, std::string>& values);

}  // namespace lathe::study
