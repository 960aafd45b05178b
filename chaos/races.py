"""D7, F28: the same request a hundred times at once has one effect; the others get its answer."""
import rig


def run(engine, rounds=100, at_once=100):
    wrong = []
    with rig.House(engine) as house:
        process = house.process("--workers", "0").start()
        assert rig.upload(process.client(), "tiny").status == 201
        clients = [process.client() for _ in range(at_once)]
        answered, in_flight = 0, 0
        for number in range(rounds):
            answers = [None] * at_once

            def post(k):
                answers[k] = clients[k].ask("POST", "/api/v1/jobs", rig.tiny_fit(model=f"m{number}"), {"Idempotency-Key": f"race-{number}"})

            rig.Threads(at_once, post).join()
            jobs = {answer.json()["id"] for answer in answers if answer.status == 202}
            in_flight += sum(answer.status == 409 for answer in answers)
            answered += sum(answer.status == 202 for answer in answers)
            first = [answer for answer in answers if answer.status == 202 and answer.headers.get("Idempotency-Replayed") != "true"]
            others = {answer.status for answer in answers} - {202, 409}
            if len(jobs) != 1 or len(first) != 1 or others:
                wrong.append(f"round {number}: {len(jobs)} jobs, {len(first)} first answers, statuses {others}")
            stored = [job for job in rig.everything(clients[0], f"/api/v1/jobs?model=m{number}")]
            if len(stored) != 1:
                wrong.append(f"round {number}: {len(stored)} jobs are stored")
            again = clients[0].ask("POST", "/api/v1/jobs", rig.tiny_fit(model=f"m{number}"), {"Idempotency-Key": f'"race-{number}"'})
            other = clients[0].ask("POST", "/api/v1/jobs", rig.tiny_fit(model="other"), {"Idempotency-Key": f"race-{number}"})
            if again.status != 202 or again.json()["id"] not in jobs or other.status != 422:
                wrong.append(f"round {number}: a replay answered {again.status}, another body {other.status}")
        process.stop()
    return f"{rounds} races of {at_once}: {rounds - len(wrong)} with exactly one job; {answered} answers, {in_flight} told to wait (409)", wrong
