"""`chaintune schema`: the JSON Schema of study files, for editors."""

from chaintune.cli.output import echo


def schema() -> None:
    """Print the JSON Schema of study files, with which an editor completes keys and marks wrong ones.

    Write it beside the study file: chaintune schema > study.schema.json

    With this comment in the study file, VS Code (with its YAML extension) and other editors read it:

    # yaml-language-server: $schema=study.schema.json
    """
    from chaintune.study.json_schema import schema_text

    echo(schema_text().rstrip())
