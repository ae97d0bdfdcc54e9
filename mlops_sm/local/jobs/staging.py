"""What one instance of a training job finds when it starts: its data, its configuration and its command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_sm.definition.document import Json
from mlops_sm.local import built_in
from mlops_sm.local.environment import job_environment
from mlops_sm.local.images import Image
from mlops_sm.local.isolation.layer import ML, SCRATCH
from mlops_sm.local.jobs import distribution, remote_function
from mlops_sm.local.jobs.attend import OWN, Command
from mlops_sm.local.jobs.channels import Channel, Inputs
from mlops_sm.local.jobs.channels.channel import DATA, s3_source
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.layout import Layout
from mlops_sm.local.jobs.packages import furnish, install
from mlops_sm.local.jobs.running import JobRun
from mlops_sm.local.jobs.script_mode import CODE, ScriptMode
from mlops_sm.local.jobs.sdk_requirements import install_for_sdk
from mlops_sm.local.jobs.transfer import restore
from mlops_sm.local.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """What all instances of a training job have in common.

    Attributes:
        request: The CreateTrainingJob request.
        arn: The job's ARN.
        run: The run.
        layout: Its instances.
        image: What its image stands for.
        script: What it runs in script mode; None when it does not.
    """

    request: Mapping[str, Json]
    arn: str
    run: JobRun
    layout: Layout
    image: Image
    script: ScriptMode | None

    @classmethod
    def of(cls, request: Mapping[str, Json], arn: str, run: JobRun) -> Staging:
        """Read a request.

        Raises:
            JobFailureError: Its image or its number of instances is not for this machine.
        """
        algorithm = request["AlgorithmSpecification"]
        image, script = _image(algorithm, run.site), None
        # What a program of the image's own, or of the request's, makes of a script is its affair.
        if not algorithm.get("ContainerEntrypoint") and image.program("train") is None:
            script = ScriptMode.of(request.get("HyperParameters") or {}, request.get("Environment") or {})
        layout = Layout.of(request.get("ResourceConfig") or {})
        if len(layout.hosts) > 1 and request.get("EnableNetworkIsolation"):
            raise JobFailureError(
                "ClientError: several instances without network cannot reach each other on this machine; use one "
                "instance"
            )
        return cls(request=request, arn=arn, run=run, layout=layout, image=image, script=script)

    def fill(self, host: str, folder: JobFolder) -> Inputs:
        """Put everything but the command where an instance finds it; the data that it is given while it runs.

        Raises:
            JobFailureError: Something is not there.
            JobStoppedError: The job was asked to stop.
        """
        for name in ("input/config", "input/data", "model", "output/data"):
            (folder.ml / name).mkdir(parents=True)
        inputs = Inputs(folder, self.run.site, self.request.get("RoleArn", ""), under=DATA)
        for channel in self.request.get("InputDataConfig") or []:
            self.run.check_stop()
            share = self.layout.share(s3_source(channel), host)
            if share is not None:
                inputs.add(Channel.of_training(channel, self._mode, share))
        furnish(self.image, folder, self.run.site)
        if self.image.engine is None:
            install_for_sdk(folder, self.run.site, self.image.interpreter)
        folder.write_json("input/config/inputdataconfig.json", self._input_data_config(host))
        folder.write_json("input/config/hyperparameters.json", self.request.get("HyperParameters") or {})
        folder.write_json("input/config/resourceconfig.json", self.layout.resource_config(host))
        if "CheckpointConfig" in self.request:
            folder.write_json("input/config/checkpointconfig.json", self._checkpoint_config())
        if self._built_in:
            built_in.copy_training_program(folder.scratch)
        for path, uri in self.checkpoints(folder):
            restore(self.run.site.store, uri, path)
        if self.script is not None:
            self.script.stage(folder, self.run.site.store)
            requirements = folder.ml / "code" / "requirements.txt"
            install(requirements, folder, self.run.site, python=self.image.interpreter)
        if self.image.warm:
            distribution.require(folder)
        return inputs

    def checkpoints(self, folder: JobFolder) -> list[tuple[Path, str]]:
        """The folder of an instance's checkpoints and the S3 URI it is kept at; none when the request names none."""
        config = self.request.get("CheckpointConfig")
        if config is None:
            return []
        return [(folder.inside(self._checkpoint_config()["LocalPath"]), config["S3Uri"])]

    def _checkpoint_config(self) -> dict[str, Json]:
        return {"LocalPath": f"{ML}/checkpoints", **self.request["CheckpointConfig"]}

    def command(self, host: str, max_runtime_in_seconds: float) -> Command:
        """What an instance runs, and for how long at most.

        Raises:
            JobFailureError: Nothing of the request or of the image can be run here.
        """
        run, algorithm = self.run, self.request["AlgorithmSpecification"]
        requested: dict[str, str] = dict(self.request.get("Environment") or {})
        variables = {"TRAINING_JOB_NAME": run.name, "TRAINING_JOB_ARN": self.arn}
        variables |= remote_function.environment(algorithm)
        if self.script is not None:
            argv, cwd = self.script.argv(), CODE
            variables |= self.script.environment(
                run.name, self._input_data_config(host), self.layout.resource_config(host)
            )
            if "PYTHONPATH" in requested:
                requested["PYTHONPATH"] = f"{CODE}:{requested['PYTHONPATH']}"
        elif algorithm.get("ContainerEntrypoint"):
            argv, cwd = (*algorithm["ContainerEntrypoint"], *(algorithm.get("ContainerArguments") or [])), SCRATCH
        elif (program := self.image.program("train")) is not None:
            argv, cwd = program, SCRATCH
        elif self.image.programs is not None:
            lacking = run.site.images.lacking(algorithm["TrainingImage"], "train", "AlgorithmSpecification")
            raise JobFailureError(f"ClientError: {lacking.what}. {lacking.fix}")
        elif self._built_in:
            if self.image.interpreter is None and not built_in.is_available():
                refusal = built_in.refusal("AlgorithmSpecification")
                raise JobFailureError(f"ClientError: {refusal.what}. {refusal.fix}")
            argv, cwd = built_in.training_command(algorithm["TrainingImage"], run.site.jobs / run.name), SCRATCH
        else:
            raise JobFailureError(
                "ClientError: the request has neither ContainerEntrypoint nor the hyperparameter sagemaker_program, "
                "and the image's own training program is not run here"
            )
        network = not self.request.get("EnableNetworkIsolation", False)
        environment = job_environment(
            requested,
            region=run.site.region,
            endpoint_url=run.site.endpoint_url(network=network),
            account_id=run.site.account_id,
            parallel_jobs=run.site.warm.parallel_jobs,
            interpreter=self.image.interpreter,
        )
        return Command(
            argv=argv,
            environment=variables | environment,
            cwd=cwd,
            network=network,
            warm=self.image.warm,
            interpreter=self.image.interpreter or OWN,
            container=self.image.container(
                algorithm.get("TrainingImage", ""), replaces_entry_point=bool(algorithm.get("ContainerEntrypoint"))
            ),
            max_runtime_in_seconds=max_runtime_in_seconds,
        )

    @property
    def _built_in(self) -> bool:
        """Whether what the image does without a script is done."""
        return self.image.stands_for_python and built_in.is_algorithm(self.request)

    @property
    def _mode(self) -> str:
        mode: str = self.request["AlgorithmSpecification"].get("TrainingInputMode", "File")
        return mode

    def _input_data_config(self, host: str) -> dict[str, dict[str, Json]]:
        config = {}
        for channel in self.request.get("InputDataConfig") or []:
            source = s3_source(channel)
            if self.layout.share(source, host) is None:
                continue
            entry = {
                "TrainingInputMode": channel.get("InputMode", self._mode),
                "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            if "ContentType" in channel:
                entry["ContentType"] = channel["ContentType"]
            config[channel["ChannelName"]] = entry
        return config


def _image(algorithm: Mapping[str, Json], site: Site) -> Image:
    uri = algorithm.get("TrainingImage")
    if uri is None:
        raise JobFailureError("ClientError: AlgorithmSpecification has no TrainingImage; only that can run here")
    image = site.images.find(uri)
    if image is None:
        raise JobFailureError(f"ClientError: {site.images.refusal(uri, 'AlgorithmSpecification').what}")
    refusal = remote_function.refusal(algorithm, "AlgorithmSpecification") if image.warm else None
    if refusal is not None:
        raise JobFailureError(f"ClientError: {refusal.what}. {refusal.fix}")
    return image
