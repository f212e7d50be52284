//! Forgets devices: those that were not used for long, and those beyond what a user may have.

use rusqlite::params;
use wire::Device;

use super::unit::Unit;
use crate::{DeviceKey, DeviceLimits};

/// Makes room for a device that is registered; answers which others were forgotten.
pub(super) fn make_room(
    unit: &mut Unit<'_>,
    key: &DeviceKey,
    limits: DeviceLimits,
) -> rusqlite::Result<Vec<Device>> {
    let others = others(unit, key)?;
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let connected = unit.live.read().presence.devices(&key.user);
    let unused_since = unit.now.saturating_sub_unsigned(limits.forget_after_ms);
    let mut forgotten = Vec::new();
    // In the order in which they would have to go.
    let mut kept = Vec::new();
    for (device, seen_at) in others {
        match connected.iter().find(|held| held.device == device) {
            Some(held) => kept.push((true, held.since_at, device)),
            None if seen_at <= unused_since => forgotten.push(device),
            None => kept.push((false, seen_at, device)),
        }
    }
    kept.sort_unstable();
    let excess = (kept.len() + 1).saturating_sub(limits.most.max(1));
    forgotten.extend(kept.into_iter().take(excess).map(|(_, _, device)| device));
    for device in &forgotten {
        forget(unit, &DeviceKey { user: key.user.clone(), device: device.clone() })?;
    }
    Ok(forgotten)
}

/// The user's other devices, and when each was last used.
fn others(unit: &Unit<'_>, key: &DeviceKey) -> rusqlite::Result<Vec<(Device, i64)>> {
    unit.connection
        .prepare_cached("SELECT device, seen_at FROM device WHERE user = ?1 AND device <> ?2")?
        .query_map([key.user.as_str(), key.device.as_str()], |row| {
            Ok((super::failure::parsed(row, 0)?, row.get(1)?))
        })?
        .collect()
}

/// As of one that never connected.
pub(super) fn forget(unit: &mut Unit<'_>, key: &DeviceKey) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM device WHERE user = ?1 AND device = ?2",
        "DELETE FROM cursor WHERE user = ?1 AND device = ?2",
    ] {
        unit.connection.prepare_cached(sql)?.execute(params![key.user.as_str(), key.device.as_str()])?;
    }
    // As of one that never connected.
    unit.set_epoch(key, 0);
    Ok(())
}
