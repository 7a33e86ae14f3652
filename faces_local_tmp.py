import tempfile, time, os, sys, json, io
from pathlib import Path

os.environ["SFN_WAIT_SCALE"] = "0.01"
from local.stack import LocalStack
from imagepipeline.records import from_item
from PIL import Image

with (
    tempfile.TemporaryDirectory() as d,
    LocalStack(
        Path(d, "s"),
        parameters={
            "Renditions": "card=300x600:cover:face mid=300x600:cover large=1280x1280",
            "DetectFaces": "true",
            "Moderation": "record",
        },
    ) as st,
):
    s3 = st.client("s3")
    t = st.client("dynamodb")
    photo = Image.open("local/photos/astronaut.jpg")
    wide = Image.new("RGB", (photo.width * 3, photo.height), "gray")
    wide.paste(photo, (0, 0))
    b = io.BytesIO()
    wide.save(b, "JPEG")
    for n in range(2):
        s3.put_object(Bucket=st.outputs["UploadsBucket"], Key=f"uploads/w{n}.jpg", Body=b.getvalue())
        end = time.time() + 60
        while time.time() < end:
            r = t.get_item(
                TableName=st.outputs["ImagesTable"], Key={"ImageKey": {"S": f"uploads/w{n}.jpg"}}, ConsistentRead=True
            ).get("Item")
            r = r and from_item(r)
            if r and r["Status"] != "PROCESSING":
                break
            time.sleep(0.1)
        print(
            json.dumps(
                {
                    k: r.get(k)
                    for k in (
                        "Status",
                        "Error",
                        "Faces",
                        "FacesError",
                        "ModerationLabels",
                        "Labels",
                        "Renditions",
                        "Attempts",
                    )
                }
            )[:1500]
        )
    data = s3.get_object(Bucket=st.outputs["ThumbnailsBucket"], Key=r["Renditions"]["card"]["Key"])["Body"].read()
    Path("/tmp/faces_card.jpg").write_bytes(data)
    log = (Path(d, "s", "run", "rekognition.log")).read_text()
    print(log[-1500:])
