"""What the doctor said about one subject."""


def about(lines, subject):
    found = [line for line in lines if line.subject == subject]
    assert found, f"nothing about {subject}: {[line.subject for line in lines]}"
    return found


def the(lines, subject):
    (line,) = about(lines, subject)
    return line
