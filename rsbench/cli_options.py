"""Options that several commands share: one name, one type and one help text each. No command is here."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[
    Path | None, typer.Option(help="Run folder; the same folder resumes. Default: runs/MODEL-TASK.")
]
Shelf = Annotated[list[Path] | None, typer.Option(help="Folder with own tasks/, judges/ …; searched first.")]
BaseUrl = Annotated[
    str | None, typer.Option(help="Server with the provider's protocol, e.g. http://127.0.0.1:8000/v1.")
]
KeyName = Annotated[
    str | None, typer.Option(help="Environment variable with the API key (keys are never arguments).")
]
JudgeName = Annotated[
    str | None,
    typer.Option(
        help="A judge's name or card, or provider/model or a model's card: the judge `llm` with that model."
    ),
]
JudgeModel = Annotated[str | None, typer.Option(help="Model behind the judge: provider/model, or its card.")]
JudgeUrl = Annotated[str | None, typer.Option(help="Base URL of the judge's server, if not the provider's.")]
JudgeKey = Annotated[str | None, typer.Option(help="Environment variable with the judge's API key.")]
Connections = Annotated[int, typer.Option(min=1, help="Calls in flight per account; 1 is plain serial.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds one call may take.")]
Attempts = Annotated[
    int, typer.Option(min=1, help="Tries per call; only 408, 409, 429, 5xx and resets are retried.")
]
HintBlind = Annotated[bool, typer.Option("--hint-blind", help="Judge without the item's note and reference.")]
SameFamily = Annotated[bool, typer.Option(help="Accept a judge of the model's family; results say so.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the planned calls, tokens and cost; call and write nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask before calls that cost money.")]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="Most US dollars for the run folder; needs known prices.")
]
MaxCalls = Annotated[int | None, typer.Option(min=1, help="Most calls for the run folder, retries included.")]
MaxTokensTotal = Annotated[
    int | None, typer.Option(min=1, help="Most tokens for the run folder, input and output together.")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="Calls through OpenAI's or Anthropic's batch API: cheaper, later.")
]
JudgeBatch = Annotated[bool, typer.Option("--judge-batch", help="The judge's calls alone by batch.")]
BatchPoll = Annotated[float, typer.Option(min=0.01, help="Seconds between two looks at a batch.")]
Device = Annotated[str | None, typer.Option(help="Of a local model: cpu, cuda, or a GPU's number.")]
Devices = Annotated[str | None, typer.Option(help="Several, e.g. 0,1: one copy of a local model on each.")]
DeviceMap = Annotated[str | None, typer.Option(help="auto: spread one local model over all GPUs.")]
DType = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16. Unset: bfloat16 on a GPU, else float32.")
]
Adapter = Annotated[str | None, typer.Option(help="PEFT folder to put on top of a local model.")]
Revision = Annotated[str | None, typer.Option(help="Commit of a hub checkpoint; part of the reply keys.")]
OneJudge = Annotated[str | None, typer.Option(help="Whose labels count, if the run has several judges.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]
ReportFile = Annotated[
    Path | None,
    typer.Option(help="File of the HTML report; above 1,000 items a folder. Default: RUN/report.html."),
]
